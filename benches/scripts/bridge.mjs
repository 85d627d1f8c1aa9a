// STOMP to one destination with @stomp/stompjs:
//   node bridge.mjs HOST PORT sqlite|postgres|mqtt WHERE [QUEUE [LOGIN PASSCODE VHOST]]
//
// What waits goes in one batch, as large as it has grown while the one before was written, and each message is
// acknowledged once it is there. There is no journal: what such a script has not written yet, it has not acknowledged.
import { Client } from '@stomp/stompjs'
import { Tcp } from './tcp.mjs'

const [host, port, kind, where, queue = '/topic/state/1', login, passcode, vhost] = process.argv.slice(2)
const BATCH_MAX = 1000

const COLUMNS = [
  'client_id', 'device_id', 'serial', 'old_state', 'new_state', 'province', 'city', 'district', 'detail',
  'coordinate_system', 'longitude', 'latitude', 'received_at', 'payload'
]
const CREATE = `create table if not exists status_event (id integer primary key, ${COLUMNS.join(' text, ')} text)`

function row (body) {
  const status = JSON.parse(body)
  const { address } = status
  return [
    String(status.clientId), String(status.deviceId), status.sn, status.oldState, status.newState,
    address.province, address.city, address.district, address.detail, address.coordinateSysm,
    String(address.longitude), String(address.latitude), new Date().toISOString(), body
  ]
}

async function sqlite () {
  const { default: Database } = await import('better-sqlite3')
  const database = new Database(where)
  database.pragma('journal_mode = WAL')
  database.pragma('synchronous = FULL')
  database.exec(CREATE)
  const marks = COLUMNS.map(() => '?').join(', ')
  const insert = database.prepare(`insert into status_event (${COLUMNS.join(', ')}) values (${marks})`)
  const all = database.transaction(messages => {
    for (const message of messages) insert.run(row(message.body))
  })
  return batched(async messages => all(messages))
}

async function postgres () {
  const { default: pg } = await import('pg')
  const client = new pg.Client(where)
  await client.connect()
  await client.query(CREATE.replace('integer primary key', 'bigserial primary key'))
  const arrays = COLUMNS.map((_, index) => `$${index + 1}::text[]`).join(', ')
  const text = `insert into status_event (${COLUMNS.join(', ')}) select * from unnest(${arrays})`
  return batched(async messages => {
    const rows = messages.map(message => row(message.body))
    await client.query({ name: 'insert', text, values: COLUMNS.map((_, index) => rows.map(row => row[index])) })
  })
}

async function mqtt () {
  const { connectAsync } = await import('mqtt')
  const client = await connectAsync(where)
  return message => {
    const status = JSON.parse(message.body)
    const topic = `devices/${status.clientId}/${status.deviceId}/status`
    client.publish(topic, message.body, { qos: 1, retain: true }, error => {
      if (error) throw error
      message.ack()
    })
  }
}

// One batch at a time.
function batched (write) {
  let waiting = []
  let writing = false
  async function flush () {
    writing = true
    while (waiting.length > 0) {
      const messages = waiting.splice(0, BATCH_MAX)
      await write(messages)
      for (const message of messages) message.ack()
      // Lets the socket be read before the next batch.
      await new Promise(resolve => setImmediate(resolve))
    }
    writing = false
  }
  return message => {
    waiting.push(message)
    if (!writing) setImmediate(flush)
    writing = true
  }
}

const take = await { sqlite, postgres, mqtt }[kind]()
const client = new Client({
  webSocketFactory: () => new Tcp(host, Number(port)),
  heartbeatIncoming: 0,
  heartbeatOutgoing: 0,
  connectHeaders: login === undefined ? {} : { login, passcode, host: vhost },
  onConnect: () => client.subscribe(queue, take, { ack: 'client-individual', 'prefetch-count': '1000' }),
  onStompError: frame => { throw new Error(frame.headers.message) }
})
process.on('SIGTERM', () => process.exit(0))
client.activate()
