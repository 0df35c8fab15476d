// What a token allows.
import { Type } from '@sinclair/typebox'
import type { Admin } from './app.js'
import { identityOf, type RouteConfig } from './auth.js'
import { FAILURES, name } from './schemas.js'

const Access = Type.Object({
  name: Type.Optional(name('Name of the token; absent if it has none')),
  access: Type.Union([Type.Literal('read'), Type.Literal('write')], { description: 'Whether it can change anything' }),
  collections: Type.Optional(
    Type.Array(name('A collection'), { maxItems: 10_000, description: 'The collections it covers; absent: all' })
  )
})

export function accessRoute ({ app }: Admin): void {
  app.get('/access', {
    config: { isScoped: true } satisfies RouteConfig,
    schema: {
      operationId: 'readAccess',
      summary: 'Show what the token allows',
      tags: ['health'],
      response: { 200: Access, ...FAILURES }
    }
  }, async request => {
    const { name, canWrite, collections } = identityOf(request)
    const access: 'read' | 'write' = canWrite ? 'write' : 'read'
    return {
      ...name === undefined ? {} : { name },
      access,
      ...collections === undefined ? {} : { collections: [...collections] }
    }
  })
}
