import strongStore, { collection, createStore, type Collection, type KeyLock, type StoreErrorCode, StoreError } from 'strong-store'
import { expressStore } from 'strong-store/express'
import { KeyvStore } from 'strong-store/keyv'
import { ExpressRateLimitStore } from 'strong-store/rate-limit'
import { SessionStore } from 'strong-store/session'

const carts: Collection<{ items: string[] }> = createStore('memory:').collection('carts')
const lock: KeyLock<{ items: string[] }> = await carts.acquire('ada', { lease: 5 })
lock.set({ items: ['tea'] })
await lock.release()
const code: StoreErrorCode = new StoreError('STORE_FULL').code
void [strongStore, collection, expressStore, KeyvStore, ExpressRateLimitStore, SessionStore, code]
console.log('tsx', (await carts.get('ada'))?.items.length)
