import assert from 'node:assert/strict'
// docs
import { listen } from 'vscode-ws-jsonrpc'
import WebSocket from 'ws'

const webSocket = new WebSocket('ws://127.0.0.1:7420/rpc')
const connection = await new Promise(onConnection => listen({ webSocket, onConnection }))
connection.listen()

connection.onNotification('task.event', ({ result: event }) => console.log(event.change_type, event.task?.title))
const subscription = await connection.sendRequest('task.subscribe', { debounce_ms: 0 })
const task = await connection.sendRequest('task.create', { title: 'Write the report' })

await connection.sendRequest('task.get', { id: 'nothing' }).catch(error => console.log(error.code, error.message))
// end
const done = new Promise(resolve => connection.onNotification('task.event', ({ result }) => result.new_status === 'done' && resolve(result)))
const updated = await connection.sendRequest('task.update', { id: task.id, status: 'done' })
assert.deepEqual((await done).task, updated)
assert.deepEqual(await connection.sendRequest('task.get', task.id), updated) // by position
await assert.rejects(connection.sendRequest('task.get'), error => error.code === -32602 && error.data.field === 'id')
assert.equal(await connection.sendRequest('server.ping'), 'pong')
await connection.sendNotification('$/setTrace', { value: 'off' })
await connection.sendNotification('task.create', { id: 'silent', title: 'Not answered' })
assert.equal((await connection.sendRequest('task.get', { id: 'silent' })).title, 'Not answered')
assert.equal(await connection.sendRequest('task.unsubscribe', subscription), true)
webSocket.close()
