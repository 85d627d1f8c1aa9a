// The clients of web platforms against a broker: node clients.mjs SOCKJS_URL WEBSOCKET_URL
//
// Each connects, subscribes by its own id, hears the simulated devices and itself, sees heart-beats, unsubscribes and
// disconnects. Prints a line for each; exits with 1 at the first that fails.
import assert from 'node:assert/strict';
import { Client } from '@stomp/stompjs';
import SockJS from 'sockjs-client';
import Stomp from 'stompjs';
import { WebSocket } from 'ws';

const [sockjsUrl, webSocketUrl] = process.argv.slice(2);
const PATIENCE_MS = 15_000;
const HEART_BEAT_MS = 1_000;
const BEATS = 2;

// A promise, how to keep it, and a bound on how long that may take.
function awaited(what) {
  let keep, break_;
  const promise = new Promise((resolve, reject) => ([keep, break_] = [resolve, reject]));
  const timer = setTimeout(() => break_(new Error(`${what} did not come`)), PATIENCE_MS);
  return [promise.finally(() => clearTimeout(timer)), keep, break_];
}

function expectStatus(body) {
  const status = JSON.parse(body);
  assert.equal(status.clientId, 1);
  assert.match(status.sn, /^[0-9a-f]{32}$/);
  assert.ok(['正常', '故障', '离线'].includes(status.newState), body);
}

// As a page of a platform does it: stompjs 2.3.3, which speaks 1.1 and 1.0.
async function legacy(open) {
  const client = Stomp.over(open());
  client.heartbeat = { outgoing: HEART_BEAT_MS, incoming: HEART_BEAT_MS };
  const [beats, beatsSeen] = awaited('heart-beats');
  let pongs = 0;
  client.debug = (line) => line === '<<< PONG' && ++pongs === BEATS && beatsSeen();

  const [connected, onConnected, onRefused] = awaited('CONNECTED');
  client.connect({}, onConnected, onRefused);
  assert.equal((await connected).headers.version, '1.1');

  const [status, onStatus] = awaited('a status');
  client.subscribe('/topic/state/1', onStatus, { id: 'map-1' });
  expectStatus((await status).body);

  const [own, onOwn] = awaited('our own message');
  client.subscribe('/topic/own', onOwn, { id: 'own', ack: 'client' });
  client.send('/topic/own', { 'content-type': 'text/plain', note: 'a:b' }, 'ä\n故障');
  const message = await own;
  assert.equal(message.body, 'ä\n故障');
  message.ack();

  const [receipt, onReceipt] = awaited('a receipt');
  client.onreceipt = onReceipt;
  client.unsubscribe('map-1');
  client.send('/topic/own', { receipt: 'last' }, 'x');
  assert.equal((await receipt).headers['receipt-id'], 'last');
  // Only now: while messages flow, no heart-beat is needed.
  await beats;
  const [gone, onGone] = awaited('the end');
  client.disconnect(onGone);
  await gone;
}

// As it is done today: @stomp/stompjs, which speaks 1.2.
async function modern(webSocketFactory) {
  const [connected, onConnect, onStompError] = awaited('CONNECTED');
  let pongs = 0;
  const [beats, beatsSeen] = awaited('heart-beats');
  const client = new Client({
    webSocketFactory,
    heartbeatIncoming: HEART_BEAT_MS,
    heartbeatOutgoing: HEART_BEAT_MS,
    reconnectDelay: 0,
    onConnect,
    onStompError: (frame) => onStompError(new Error(frame.headers.message)),
    debug: (line) => line === '<<< PONG' && ++pongs === BEATS && beatsSeen(),
  });
  client.activate();
  assert.equal((await connected).headers.version, '1.2');

  const [status, onStatus] = awaited('a status');
  const [subscribed, onSubscribed] = awaited('a receipt of SUBSCRIBE');
  client.watchForReceipt('r1', onSubscribed);
  const subscription = client.subscribe('/topic/state/1', onStatus, { id: 'map-1', receipt: 'r1' });
  await subscribed;
  expectStatus((await status).body);

  const [own, onOwn] = awaited('our own message');
  client.subscribe('/topic/own', onOwn, { ack: 'client-individual' });
  // No letter after the backslash: this client unescapes in several passes and would take one for an escape.
  client.publish({ destination: '/topic/own', headers: { note: 'a:b \\ \n' }, body: 'ä\n故障' });
  const message = await own;
  assert.equal(message.headers.note, 'a:b \\ \n');
  assert.equal(message.body, 'ä\n故障');
  message.ack();

  const [unsubscribed, onUnsubscribed] = awaited('a receipt of UNSUBSCRIBE');
  client.watchForReceipt('r2', onUnsubscribed);
  subscription.unsubscribe({ receipt: 'r2' });
  await unsubscribed;
  await beats;
  await client.deactivate();
}

// The broker's own refusals reach the client's error handler.
async function refused(webSocketFactory) {
  const [error, onStompError] = awaited('ERROR');
  const client = new Client({
    webSocketFactory,
    reconnectDelay: 0,
    onConnect: () => client.subscribe('/nowhere', () => {}),
    onStompError,
  });
  client.activate();
  assert.match((await error).headers.message, /there is no destination \/nowhere/);
  await client.deactivate();
}

const overSockJs = () => new SockJS(sockjsUrl, undefined, { transports: ['websocket'] });
const overWebSocket = () => new WebSocket(webSocketUrl, ['v12.stomp', 'v11.stomp']);

for (const [name, converse, open] of [
  ['stompjs over SockJS', legacy, overSockJs],
  ['stompjs over WebSocket', legacy, overWebSocket],
  ['@stomp/stompjs over SockJS', modern, overSockJs],
  ['@stomp/stompjs over WebSocket', modern, overWebSocket],
  ['a refusal over SockJS', refused, overSockJs],
  ['a refusal over WebSocket', refused, overWebSocket],
]) {
  await converse(open);
  console.log(`ok ${name}`);
}
process.exit(0);
