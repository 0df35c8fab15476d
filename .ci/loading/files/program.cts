import strongStore, { collection, createStore, type Collection, type StoreErrorCode, StoreError } from 'strong-store'
import { expressStore } from 'strong-store/express'
import { KeyvStore } from 'strong-store/keyv'
import { ExpressRateLimitStore } from 'strong-store/rate-limit'
import { SessionStore } from 'strong-store/session'

async function main (): Promise<void> {
  const carts: Collection<{ items: string[] }> = createStore('memory:').collection('carts')
  await carts.set('ada', { items: ['tea'] })
  const code: StoreErrorCode = new StoreError('STORE_FULL').code
  void [strongStore, collection, expressStore, KeyvStore, ExpressRateLimitStore, SessionStore, code]
  console.log('tsx', (await carts.get('ada'))?.items.length)
}
void main()
