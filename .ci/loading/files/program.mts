import {
  StoreError, createStore, strongStore,
  type AdminOptions, type Collection, type KeyLock, type Store, type StoreErrorCode
} from 'strong-store'
import plugin from 'strong-store'
import { expressAdmin, expressStore, expressStoreErrors } from 'strong-store/express'
import { StorePubSub } from 'strong-store/graphql-subscriptions'
import { KeyvStore } from 'strong-store/keyv'
import { NestThrottlerStorage } from 'strong-store/nest'
import { ExpressRateLimitStore, fastifyRateLimitStore } from 'strong-store/rate-limit'
import { flexibleLimiter } from 'strong-store/rate-limiter-flexible'
import { SessionStore } from 'strong-store/session'
import { socketAdapter } from 'strong-store/socket.io'
import { UndiciCacheStore } from 'strong-store/undici'
import { unstorageDriver } from 'strong-store/unstorage'

const admin: AdminOptions = { token: 'secret' }
const code: StoreErrorCode = new StoreError('STORE_FULL').code
void [
  plugin, strongStore, expressAdmin, expressStore, expressStoreErrors, KeyvStore, NestThrottlerStorage,
  ExpressRateLimitStore, fastifyRateLimitStore, flexibleLimiter, SessionStore, UndiciCacheStore, unstorageDriver,
  StorePubSub, socketAdapter, admin, code
]

const store: Store = createStore('memory:')
const carts: Collection<{ items: string[] }> = store.collection('carts')
const lock: KeyLock<{ items: string[] }> = await carts.acquire('ada', { lease: 5 })
lock.set({ items: ['tea'] })
await lock.release()
// @ts-expect-error -- there is no such option
void carts.get('ada', { ttl: 1 }).catch(() => {})
console.log('tsx', (await carts.get('ada'))?.items.length)
