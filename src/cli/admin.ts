// The admin API of `serve --admin`.
import { readFileSync } from 'node:fs'
import type { fastify } from 'fastify'
import type { Store } from '../api/store.js'
import { strongStore } from '../web/fastify.js'
import { invalid } from './exit.js'

export interface Admin {
  listen (store: Store): Promise<AdminServer>
}

export interface AdminServer {
  url: string
  /** Answers pending requests, then closes. */
  close (): Promise<void>
}

/** Checks everything that does not need the store. Exits with USAGE or NO_RIGHT. */
export async function adminOf (address: string | undefined, tokenFile: string | undefined): Promise<Admin | undefined> {
  if (address === undefined) {
    if (tokenFile !== undefined) throw invalid('--token-file requires --admin HOST:PORT')
    return undefined
  }
  const [, bracketed, name, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(address) ?? []
  if (port === undefined || Number(port) > 65535) {
    throw invalid(`invalid --admin: expected HOST:PORT, like 127.0.0.1:8080, got ${JSON.stringify(address)}`)
  }
  if (tokenFile === undefined) {
    throw invalid('--admin requires --token-file FILE, with the token that clients must send')
  }
  const token = readFileSync(tokenFile, 'utf8').trim()
  if (token === '') throw invalid(`--token-file ${tokenFile} is empty`)
  const Fastify = await load()
  return {
    async listen (store) {
      const app = Fastify()
      await app.register(strongStore, { store, admin: { token } })
      const origin = await app.listen({ host: bracketed ?? name!, port: Number(port) })
      return { url: `${origin}/_store/v1`, close: () => app.close() }
    }
  }
}

async function load (): Promise<typeof fastify> {
  try {
    return (await import('fastify')).default
  } catch (error) {
    if (!/^(?:ERR_)?MODULE_NOT_FOUND$/.test((error as NodeJS.ErrnoException).code!)) throw error
    throw invalid('--admin requires the package fastify, version 5: npm install fastify@5')
  }
}
