import { once } from 'node:events'
import { createRequire } from 'node:module'
import type * as Net from 'node:net'

// kafkajs calls `connect` on this very object.
const net = createRequire(import.meta.url)('node:net') as typeof Net
const PRODUCE = 0

/** A way to the broker that loses answers: the broker has done what it was asked, and nobody hears of it. */
export interface AnswerEater {
  /** Answers to Produce requests that were lost. */
  readonly eaten: number
  close(): Promise<void>
}

/**
 * Leads this process's connections to the broker through a proxy, which breaks the connection instead of passing on
 * every `every`-th answer to a Produce request.
 */
export async function eatProduceAnswers(broker: string, every: number): Promise<AnswerEater> {
  const brokerPort = Number(broker.slice(broker.lastIndexOf(':') + 1))
  const connect = net.connect
  let eaten = 0
  let answers = 0
  const sockets = new Set<Net.Socket>()
  const server: Net.Server = net.createServer((client) => {
    const onward = connect({ host: '127.0.0.1', port: brokerPort })
    const produced = new Set<number>()
    const end = (): void => {
      client.destroy()
      onward.destroy()
    }
    for (const socket of [client, onward]) {
      sockets.add(socket)
      socket.on('error', end).on('close', end)
    }
    client.on(
      'data',
      eachFrame((frame) => {
        if (frame.readInt16BE(4) === PRODUCE) produced.add(frame.readInt32BE(8))
        onward.write(frame)
      }),
    )
    onward.on(
      'data',
      eachFrame((frame) => {
        if (produced.delete(frame.readInt32BE(4))) {
          answers += 1
          if (answers % every === 0) {
            eaten += 1
            return end()
          }
        }
        client.write(frame)
      }),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const through = (options: Net.NetConnectOpts, listener?: () => void): Net.Socket =>
    'port' in options && options.port === brokerPort
      ? connect({ ...options, host: '127.0.0.1', port: address.port }, listener)
      : connect(options, listener)
  net.connect = through as typeof net.connect
  return {
    get eaten() {
      return eaten
    },
    close: async () => {
      net.connect = connect
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Cuts a stream into Kafka's frames: four bytes of length, and as many bytes. */
function eachFrame(take: (frame: Buffer) => void): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0)
  return (chunk) => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
      const size = 4 + rest.readInt32BE(0)
      const frame = rest.subarray(0, size)
      rest = rest.subarray(size)
      take(frame)
    }
  }
}
