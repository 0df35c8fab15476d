// Checks whether a history of calls on one key is linearizable: the search of Wing and Gong (1993) with the
// memoization of Lowe (2017).

export interface Operation {
  /** The process that made the call. Its calls are in order. */
  process: string
  kind: 'get' | 'set' | 'del' | 'increment' | 'acquire' | 'release' | 'drop' | 'wipe' | 'restart'
  /** The written value; the amount of an increment. */
  value?: number | undefined
  ifVersion?: number | undefined
  ifAbsent?: boolean | undefined
  ifPresent?: boolean | undefined
  /** The lock that the call acquires, ends or uses. */
  lock?: string | undefined
  /** The call does not wait for a lock. */
  nowait?: boolean | undefined
  /** Nanoseconds. */
  called: number
  /** When the reply arrived. Infinity without one: it may have taken effect at any time, or never. */
  answered: number
  /** The connection was lost: it may have taken effect then, even after later calls of its process, or never. */
  isLost?: boolean | undefined
  /** The call was answered when its change was on disk. */
  durable?: boolean | undefined
  /** The change may not have been on disk when the store was killed: a restart may undo it and what followed. */
  isCut?: boolean | undefined
  /** The reply. `version` is undefined if the reply does not contain it. */
  result?: {
    code?: string | undefined
    value?: number | undefined
    version?: number | undefined
    fence?: number | undefined
  } | undefined
}

interface Kept {
  value: number | undefined
  /** 0 without a value, -1 if the version was never reported. */
  version: number
  /** The highest version reported when it was written. */
  floor: number
}

interface State extends Kept {
  /** The highest version reported. */
  top: number
  fence: number
  holder: string
  /** Earlier states that a restart may restore. */
  past: readonly Kept[]
}

const START: State = { value: undefined, version: 0, floor: 0, top: 0, fence: 0, holder: '', past: [] }

/** The possible states after `operation`: none if its reply is not possible in this state. */
function outcomes (state: State, operation: Operation): State[] {
  const { kind, isCut } = operation
  if (kind === 'restart') return [state, ...state.past].map(({ value, version, floor }) => ({ ...state, value, version, floor, holder: '', past: [] }))
  const next = after(state, operation)
  if (next === undefined) return []
  const isRead = kind === 'get' || kind === 'acquire' || kind === 'drop'
  if (isRead || (next.value === state.value && next.version === state.version)) return [next]
  const { value, version, floor } = state
  return [{ ...next, past: isCut === true ? [...state.past, { value, version, floor }] : [] }]
}

/** The state after `operation`, if its reply is possible in this state. */
function after (state: State, operation: Operation): State | undefined {
  const { kind, value, ifVersion, ifAbsent, ifPresent, lock, nowait, result } = operation
  const code = result?.code
  if (kind === 'wipe') return { ...state, value: undefined, version: 0, holder: '' } // the store was restarted
  if (kind === 'drop') return state.holder === lock ? { ...state, holder: '' } : undefined
  if (nowait === true && code === 'STORE_LOCKED') return state.holder !== '' ? state : undefined
  if (lock !== undefined && code === 'STORE_LOCK_LOST') return state.holder !== lock ? state : undefined
  const through = kind === 'acquire' ? '' : lock ?? ''
  if (state.holder !== through) return undefined
  if (kind === 'get') return code === undefined ? seen(state, result) : undefined
  if (kind === 'acquire') {
    const next = code === undefined ? seen(state, result) : undefined
    if (next === undefined || lock === undefined || (result !== undefined && !(result.fence! > state.fence))) {
      return undefined
    }
    return { ...next, holder: lock, fence: result?.fence ?? state.fence }
  }
  const holder = kind === 'release' ? '' : state.holder
  if (kind === 'release' && value === undefined) return code === undefined ? { ...state, holder } : undefined
  const exists = state.value !== undefined
  const fits =
    ifVersion === undefined || state.version === ifVersion || (state.version === -1 && ifVersion > state.floor)
  const missed = ifPresent === true && !exists ? 'STORE_NOT_FOUND' : fits ? undefined : 'STORE_VERSION_MISMATCH'
  const refused = ifAbsent === true && exists ? 'STORE_EXISTS' : missed
  // Where the version is unknown, both outcomes are possible; what each implies about it is not used.
  if (
    refused !== code &&
    result !== undefined &&
    !(state.version === -1 && code === 'STORE_VERSION_MISMATCH' && ifVersion !== undefined)
  ) {
    return undefined
  }
  if (code !== undefined || refused !== undefined) return state
  if (kind === 'del') {
    if (result !== undefined && result.value !== Number(exists)) return undefined
    return { ...state, value: undefined, version: 0 }
  }
  const written = kind === 'increment' ? (state.value ?? 0) + value! : value!
  if (kind === 'increment' && result !== undefined && result.value !== written) return undefined
  const version = result?.version ?? -1
  if (version !== -1 && version <= state.top) return undefined
  const top = Math.max(state.top, version)
  return { ...state, value: written, version, floor: top, top, holder }
}

/** The state after a read has revealed the value. */
function seen (state: State, result: Operation['result']): State | undefined {
  if (result === undefined) return state
  if (result.value !== state.value) return undefined
  const version = result.version
  if (version === undefined || version === state.version) return state
  return state.version === -1 && version > state.floor
    ? { ...state, version, floor: version, top: Math.max(state.top, version) }
    : undefined
}

/** Whether it may take effect before earlier calls of its process: it does not queue. */
function isFree ({ kind, lock, nowait, isLost, result }: Operation): boolean {
  return (
    isLost === true ||
    kind === 'drop' ||
    (lock !== undefined && kind !== 'acquire') ||
    (nowait === true && result?.code === 'STORE_LOCKED')
  )
}

export function isLinearizable (operations: Operation[]): boolean {
  const all = operations.slice().sort((a, b) => a.called - b.called)
  // The calls of one process on one key take effect in order: the predecessor of each call.
  const before = all.map(() => -1)
  const last = new Map<string, number>()
  for (const [i, operation] of all.entries()) {
    if (isFree(operation)) continue
    before[i] = last.get(operation.process) ?? -1
    last.set(operation.process, i)
  }
  const open = all.flatMap(({ answered }, i) => answered === Infinity ? [i] : [])
  // Open calls that are no predecessors. As they may never take effect, whatever can follow after some of them can also
  // follow after fewer of them.
  const optional = open.filter(i => !before.includes(i))
  const necessary = open.filter(i => before.includes(i))
  const done = new Uint8Array(all.length)
  /** For each state that was tried, the minimal sets of optional calls that had taken effect. */
  const tried = new Map<string, bigint[]>()
  const isNew = (key: string): boolean => {
    const set = optional.reduce((bits, i, at) => done[i] === 1 ? bits | 1n << BigInt(at) : bits, 0n)
    const sets = tried.get(key) ?? []
    if (sets.some(other => (other & set) === other)) return false
    tried.set(key, [...sets.filter(other => (other & set) !== set), set])
    return true
  }

  // An explicit stack: histories are deeper than the call stack allows.
  const path: Array<{ low: number, candidates: Array<{ i: number, state: State }>, taken: number }> = []
  const enter = (state: State, from: number): void => {
    let low = from
    while (low < all.length && (done[low] === 1 || all[low]!.answered === Infinity)) low++
    const candidates: Array<{ i: number, state: State }> = []
    let window = ''
    let first = Infinity
    for (let i = low; i < all.length && all[i]!.called < first; i++) {
      if (done[i] === 1) window += `${i},`
      else if (all[i]!.answered < first) first = all[i]!.answered
    }
    // Every call done above `low` was called before some earlier `first`, which was not later than this one: it lies
    // in the window or is open.
    const key = `${low}|${window}|${necessary.filter(i => done[i] === 1).join()}|${state.value}|${state.version}|${state.floor}|${state.top}|${state.holder}|${state.past.map(({ value }) => value).join()}`
    if (isNew(key)) {
      const add = (i: number): void => {
        for (const next of outcomes(state, all[i]!)) candidates.push({ i, state: next })
      }
      const may = (i: number): boolean =>
        done[i] === 0 && all[i]!.called < first && (before[i] === -1 || done[before[i]!] === 1)
      for (let i = low; i < all.length && all[i]!.called < first; i++) if (may(i)) add(i)
      for (const i of open) if (i < low && may(i)) add(i)
    }
    // A call without effect can take effect at once; but without a reply it may have had an effect later.
    const idle = candidates.find(({ i, state: next }) => all[i]!.result !== undefined && next === state)
    path.push({ low, candidates: idle === undefined ? candidates : [idle], taken: -1 })
  }
  enter(START, 0)
  for (let top; (top = path.at(-1)) !== undefined;) {
    if (top.low === all.length) return true
    if (top.taken !== -1) done[top.taken] = 0
    const next = top.candidates.shift()
    if (next === undefined) {
      path.pop()
      continue
    }
    top.taken = next.i
    done[next.i] = 1
    enter(next.state, top.low)
  }
  return false
}

/**
 * The shortest prefix that is not linearizable, without irrelevant reads; undefined if the history is linearizable.
 */
export function offence (operations: Operation[]): Operation[] | undefined {
  if (isLinearizable(operations)) return undefined
  const upTo = (time: number): Operation[] => operations.filter(({ called }) => called <= time)
    .map(operation => operation.answered <= time ? operation : { ...operation, answered: Infinity, result: undefined })
    .filter(({ kind, answered }) => kind !== 'get' || answered !== Infinity)
  const times = operations.map(({ answered }) => answered).filter(Number.isFinite).sort((a, b) => a - b)
  let low = 0
  let high = times.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if (isLinearizable(upTo(times[middle]!))) low = middle + 1
    else high = middle
  }
  let part = times.length === 0 ? operations : upTo(times[high]!)
  for (const operation of part.filter(({ kind }) => kind === 'get')) {
    const less = part.filter(other => other !== operation)
    if (!isLinearizable(less)) part = less
  }
  return part.sort((a, b) => a.called - b.called)
}

export function print (operations: Operation[]): string {
  const start = operations[0]?.called ?? 0
  const time = (at: number): string => at === Infinity ? '?' : String(Math.round((at - start) / 1000))
  const shown = operations.slice(-40)
  const earlier = operations.length - shown.length
  return (earlier === 0 ? '' : `… ${earlier} before that\n`) + shown.map(({ called, answered, ...rest }) => `${time(called)}-${time(answered)} µs ${JSON.stringify(rest)}`).join('\n')
}
