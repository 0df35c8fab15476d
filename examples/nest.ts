// `npm run example:nest`: limits that hold for all workers together, with @nestjs/throttler.
import 'reflect-metadata'
import type { Server } from 'node:http'
import { Controller, Get, Module, UseGuards } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ThrottlerGuard, ThrottlerModule } from '@nestjs/throttler'
import { NestThrottlerStorage } from 'strong-store/nest'
import { serve } from './workers.js'

const advice = (url: string): string => `${url} has four workers, which let 10 requests a minute pass between them:

  for i in $(seq 12); do curl -s -o /dev/null -w '%{http_code} ' ${url}/; done; echo`

class Pages {
  index (): object {
    return { worker: process.pid }
  }
}

class App {}

// What @Get(), @Controller(), @UseGuards() and @Module() do where decorators are compiled for Nest.
Get()(Pages.prototype, 'index', Object.getOwnPropertyDescriptor(Pages.prototype, 'index')!)
Controller()(Pages)
UseGuards(ThrottlerGuard)(Pages)
Module({
  imports: [ThrottlerModule.forRoot({ throttlers: [{ ttl: 60_000, limit: 10 }], storage: new NestThrottlerStorage() })],
  controllers: [Pages]
})(App)

await serve(advice, async port => {
  const app = await NestFactory.create(App, { logger: false })
  await app.listen(port)
  return app.getHttpServer() as Server
})
