import assert from 'node:assert/strict'
// docs
import { Client, RequestManager, WebSocketTransport } from '@open-rpc/client-js'

const client = new Client(new RequestManager([new WebSocketTransport('ws://127.0.0.1:7420/rpc')]))

client.onNotification(({ params: { result: event } }) => console.log(event.change_type, event.task?.title))
const subscription = await client.request({ method: 'task.subscribe', params: { debounce_ms: 0 } })
const task = await client.request({ method: 'task.create', params: { title: 'Write the report' } })

await client.request({ method: 'task.get', params: { id: 'nothing' } }).catch(error => console.log(error.code, error.message))
// end
const done = new Promise(resolve => client.onNotification(({ params: { result } }) => result.new_status === 'done' && resolve(result)))
const updated = await client.request({ method: 'task.update', params: { id: task.id, status: 'done' } })
assert.deepEqual((await done).task, updated)
client.startBatch()
const batch = [
  client.request({ method: 'task.get', params: [task.id] }),
  client.request({ method: 'task.get', params: ['nothing'] }),
  client.request({ method: 'server.ping', params: [] }),
]
client.stopBatch()
const answers = await Promise.allSettled(batch)
assert.deepEqual(answers.map(a => a.value?.id ?? a.value ?? a.reason.code), [task.id, -32001, 'pong'])
assert.equal(answers[1].reason.data.reason, 'task_not_found')
await client.notify({ method: 'task.create', params: { id: 'silent', title: 'Not answered' } })
assert.equal((await client.request({ method: 'task.get', params: { id: 'silent' } })).title, 'Not answered')
assert.equal((await client.request({ method: 'rpc.discover', params: [] })).openrpc[0], '1')
assert.equal(await client.request({ method: 'task.unsubscribe', params: { subscription } }), true)
client.close()
process.exit() // a timer of the client would run for another 5 s
