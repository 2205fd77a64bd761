import assert from 'node:assert/strict'
// docs
import { Client } from 'rpc-websockets'

const client = new Client('ws://127.0.0.1:7420/rpc')
await new Promise(open => client.once('open', open))

client.on('task.event', ({ result: event }) => console.log(event.change_type, event.task?.title))
const subscription = await client.call('task.subscribe', { debounce_ms: 0 })
const task = await client.call('task.create', { title: 'Write the report' })

await client.call('task.get', { id: 'nothing' }).catch(error => console.log(error.code, error.message))
// end
const done = new Promise(resolve => client.on('task.event', ({ result }) => result.new_status === 'done' && resolve(result)))
const updated = await client.call('task.update', { id: task.id, status: 'done', expected_version: task.version })
assert.deepEqual((await done).task, updated)
assert.equal((await done).own, true)
assert.deepEqual(await client.call('task.get', [task.id]), updated)
await assert.rejects(client.call('task.update', { id: task.id, expected_version: 0 }), { code: -32002 })
assert.equal(await client.call('server.ping'), 'pong')
await client.notify('task.create', { id: 'silent', title: 'Not answered' })
assert.equal((await client.call('task.get', { id: 'silent' })).title, 'Not answered')
assert.equal(await client.call('task.unsubscribe', { subscription }), true)
assert.equal(await client.call('task.unsubscribe', [subscription]), false)
client.close()
