// Validates the options of where a store saves its data.
import { resolve } from 'node:path'
import { StoreError } from '../core/errors.js'
import { milliseconds } from '../core/validation.js'
import type { DataSettings } from '../engines/memory/data.js'

const MAX_FLUSH_SECONDS = 60

/** STORE_OPTION_INVALID. */
export function dataOf (
  url: string, options: { data?: unknown, flush?: number | undefined }
): DataSettings | undefined {
  const { data, flush } = options
  if (data === undefined) {
    if (flush !== undefined) throw invalid('flush requires data')
    return undefined
  }
  if (typeof data !== 'string' || data === '') throw invalid('invalid data: expected the name of a folder')
  if (url !== 'cluster:' && url !== 'memory:') {
    throw invalid(`data must be set in the process that has the store; at ${JSON.stringify(url)}, that is another process`)
  }
  if (flush !== undefined && flush > MAX_FLUSH_SECONDS) {
    throw invalid(`flush must be at most ${MAX_FLUSH_SECONDS} seconds`)
  }
  return { folder: resolve(data), flush: milliseconds(flush ?? 0.25, 'flush', 0.01) }
}

function invalid (detail: string): StoreError {
  return new StoreError('STORE_OPTION_INVALID', detail)
}
