// Keeps the entries of one collection within its bounds.
import { Budget } from './agenda.js'
import { isOver } from './bounds.js'
import { Entries } from './entries.js'
import type { Entry } from './entry.js'
import { evictFor, firstWithoutCopy } from './eviction.js'

export abstract class BoundedEntries extends Entries {
  /** Removes entries that have expired, exceed lowered bounds or were cleared. True if the budget was spent first. */
  removeDue (budget: Budget): boolean {
    while (this.expireNext()) {
      if (budget.isSpent()) return true
    }
    while (this.bounds.evict && this.isOver(0, 0) && this.evictNext()) {
      if (budget.isSpent()) return true
    }
    return this.runCleared(budget)
  }

  /** Evicts the least recently used unlocked entry that nobody can read a copy of. */
  evictNext (cannotWait = false): boolean {
    const { hasCopies, context } = this
    const entry = hasCopies ? firstWithoutCopy(this.byUse(), this, context, cannotWait) : this.leastUsed()
    if (entry === undefined) return false
    if (this.isGone(entry)) this.drop(entry)
    else {
      this.remove(entry, 'evicted')
      this.evicted++
      this.context.counters.totals.evicted++
    }
    return true
  }

  protected override fits (entry: Entry | undefined, bytes: number, isLocked: boolean): boolean {
    const keys = entry === undefined ? 1 : 0
    const more = bytes - (entry?.bytes ?? 0)
    if (!this.isOver(keys, more)) return true
    // Writes that do not grow a collection are allowed even if its bounds were lowered below its size.
    if (keys === 0 && more <= 0) return true
    this.runCleared(new Budget())
    while (this.isOver(keys, more) && this.expireNext()) { /* what is past its time does not count */ }
    if (!this.isOver(keys, more)) return true
    if (!this.bounds.evict || !this.canFit(isLocked ? entry : undefined, bytes)) return false
    const isSpared = entry !== undefined && !isLocked
    if (isSpared) this.delist(entry)
    const hasMore = evictFor(this, keys, more, isLocked)
    if (hasMore) this.schedule(this.context.clock.now)
    if (isSpared) this.enlist(entry)
    return hasMore || !this.isOver(keys, more)
  }

  /** Whether it would fit if all unlocked entries were evicted. `locked`: the entry it replaces, if that is locked. */
  protected canFit (locked: Entry | undefined, bytes: number): boolean {
    const { keys, bytes: all } = this.locked
    return !isOver(this.bounds, keys + (locked === undefined ? 1 : 0), all + bytes - (locked?.bytes ?? 0))
  }
}
