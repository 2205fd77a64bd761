import assert from 'node:assert/strict'
// docs
import { WsProvider } from '@polkadot/rpc-provider'

const provider = new WsProvider('ws://127.0.0.1:7420/rpc')
await provider.isReady

const show = (error, event) => console.log(event.change_type, event.task?.title)
const subscription = await provider.subscribe('task.event', 'task.subscribe', [{ debounce_ms: 0 }], show)
const task = await provider.send('task.create', [{ title: 'Write the report' }])

await provider.send('task.get', ['nothing']).catch(error => console.log(error.code, error.message))
// end
const done = new Promise(resolve => {
  // The names of Ethereum's and Polkadot's own methods.
  provider.subscribe('task_subscription', 'task_subscribe', [null, null, null, 0], (error, event) => event.new_status === 'done' && resolve(event))
})
const updated = await provider.send('task_update', [{ id: task.id, status: 'done' }])
assert.deepEqual((await done).task, updated)
assert.deepEqual(await provider.send('task.get', [task.id]), updated)
assert.equal(await provider.send('server.ping', []), 'pong')
assert.equal(await provider.send('server.ping'), 'pong')
await assert.rejects(provider.send('task.create', ['']), error => error.code === -32602 && error.data.field === 'title')
assert.equal(await provider.unsubscribe('task.event', 'task.unsubscribe', subscription), true)
await provider.disconnect()
