// How each client sends a token. docs/clients.md shows these expressions.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Client, HTTPTransport, RequestManager } from '@open-rpc/client-js'
import { WsProvider } from '@polkadot/rpc-provider'
import { Client as WebSocketClient } from 'rpc-websockets'
import WebSocket from 'ws'

const url = 'ws://127.0.0.1:7420/rpc'
const headers = { Authorization: 'Bearer TOKEN' }

const client = new WebSocketClient(url, { headers })
await new Promise(open => client.once('open', open))
assert.equal(await client.call('server.ping'), 'pong')
client.close()

for (const open of [() => new WebSocket(url, { headers }), () => new WebSocket(url, ['jsonrpc', 'bearer.TOKEN'])]) {
  const socket = open()
  await once(socket, 'open')
  socket.send('{"jsonrpc":"2.0","id":1,"method":"server.ping"}')
  const [message] = await once(socket, 'message')
  assert.equal(JSON.parse(message).result, 'pong')
  socket.close()
}

const provider = new WsProvider(url, 2500, headers)
await provider.isReady
assert.equal(await provider.send('server.ping', []), 'pong')
await provider.disconnect()

const transport = new HTTPTransport(url.replace('ws:', 'http:'), { headers })
assert.equal(await new Client(new RequestManager([transport])).request({ method: 'server.ping', params: [] }), 'pong')

const [, response] = await once(new WebSocket(url).on('error', () => {}), 'unexpected-response')
assert.equal(response.statusCode, 401)
process.exit() // the sockets of answers that nobody reads are left
