import assert from 'node:assert/strict'
// docs
import { JSONRPCClient, JSONRPCServer, JSONRPCServerAndClient } from 'json-rpc-2.0'
import WebSocket from 'ws'

const socket = new WebSocket('ws://127.0.0.1:7420/rpc')
const peer = new JSONRPCServerAndClient(new JSONRPCServer(), new JSONRPCClient(async request => socket.send(JSON.stringify(request))))
socket.onmessage = message => peer.receiveAndSend(JSON.parse(message.data))
socket.onclose = () => peer.rejectAllPendingRequests('the connection is closed')
await new Promise(open => { socket.onopen = open })

peer.addMethod('task.event', ({ result: event }) => console.log(event.change_type, event.task?.title))
const subscription = await peer.request('task.subscribe', { debounce_ms: 0 })
const task = await peer.request('task.create', { title: 'Write the report' })

await peer.request('task.get', { id: 'nothing' }).then(null, error => console.log(error.code, error.message))
// end
const done = new Promise(resolve => peer.addMethod('task.event', ({ result }) => result.new_status === 'done' && resolve(result)))
const updated = await peer.request('task.update', { id: task.id, status: 'done' })
assert.deepEqual((await done).task, updated)
const answers = await peer.requestAdvanced([
  { jsonrpc: '2.0', id: 'a', method: 'task.get', params: [task.id] },
  { jsonrpc: '2.0', id: 'b', method: 'task.get', params: ['nothing'] },
  { jsonrpc: '2.0', id: 'c', method: 'server.ping', params: null },
])
assert.deepEqual(answers.map(a => a.result?.id ?? a.result ?? a.error.code), [task.id, -32001, 'pong'])
assert.equal(answers[1].error.data.reason, 'task_not_found')
peer.notify('task.create', { id: 'silent', title: 'Not answered' })
assert.equal((await peer.request('task.get', { id: 'silent' })).title, 'Not answered')
assert.equal(await peer.request('task.unsubscribe', { subscription }), true)
socket.close()
