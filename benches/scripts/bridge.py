"""STOMP to one destination with stomp.py:
python3 bridge.py HOST PORT sqlite|postgres|mqtt WHERE [QUEUE [LOGIN PASSCODE VHOST]]

What waits goes in one batch, as large as it has grown while the one before was written, and each message is
acknowledged once it is there. There is no journal: what such a script has not written yet, it has not acknowledged.
"""

import json
import queue
import signal
import sqlite3
import sys
from datetime import datetime, timezone
from urllib.parse import urlsplit

import stomp

HOST, PORT, KIND, WHERE = sys.argv[1:5]
QUEUE = sys.argv[5] if len(sys.argv) > 5 else "/topic/state/1"
LOGIN, PASSCODE, VHOST = sys.argv[6:9] if len(sys.argv) > 6 else (None, None, None)
BATCH_MAX = 1000

COLUMNS = [
    "client_id", "device_id", "serial", "old_state", "new_state", "province", "city", "district", "detail",
    "coordinate_system", "longitude", "latitude", "received_at", "payload",
]
CREATE = "create table if not exists status_event (id integer primary key, " + " text, ".join(COLUMNS) + " text)"


def row(body):
    status = json.loads(body)
    address = status["address"]
    return (
        str(status["clientId"]), str(status["deviceId"]), status["sn"], status["oldState"], status["newState"],
        address["province"], address["city"], address["district"], address["detail"], address["coordinateSysm"],
        str(address["longitude"]), str(address["latitude"]), datetime.now(timezone.utc).isoformat(), body,
    )


def insert(mark):
    return f"insert into status_event ({', '.join(COLUMNS)}) values ({', '.join([mark] * len(COLUMNS))})"


def sqlite():
    database = sqlite3.connect(WHERE)
    database.execute("pragma journal_mode = WAL")
    database.execute("pragma synchronous = FULL")
    database.execute(CREATE)

    def write(bodies):
        with database:
            database.executemany(insert("?"), [row(body) for body in bodies])

    return write


def postgres():
    import psycopg

    database = psycopg.connect(WHERE)
    with database.transaction():
        database.execute(CREATE.replace("integer primary key", "bigserial primary key"))

    def write(bodies):
        with database.transaction(), database.cursor() as cursor:
            cursor.executemany(insert("%s"), [row(body) for body in bodies])

    return write


class Listener(stomp.ConnectionListener):
    def __init__(self, take):
        self.take = take

    def on_message(self, frame):
        self.take(frame)

    def on_error(self, frame):
        sys.exit(frame.headers.get("message"))


def run_mqtt(connection):
    import paho.mqtt.client as paho

    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(1000)
    sent = queue.Queue()
    where = urlsplit(WHERE)
    client.connect(where.hostname, where.port)
    client.loop_start()

    def take(frame):
        status = json.loads(frame.body)
        topic = f"devices/{status['clientId']}/{status['deviceId']}/status"
        sent.put((client.publish(topic, frame.body, qos=1, retain=True), frame.headers["ack"]))

    begin(connection, take)
    while True:
        published, ack = sent.get()
        published.wait_for_publish()
        connection.ack(ack)


def run_batches(connection, write):
    waiting = queue.Queue()
    begin(connection, waiting.put)
    while True:
        frames = [waiting.get()]
        while len(frames) < BATCH_MAX and not waiting.empty():
            frames.append(waiting.get())
        write([frame.body for frame in frames])
        for frame in frames:
            connection.ack(frame.headers["ack"])


def begin(connection, take):
    connection.set_listener("", Listener(take))
    connection.connect(LOGIN, PASSCODE, wait=True)
    headers = {"prefetch-count": "1000"}
    connection.subscribe(QUEUE, id="bench", ack="client-individual", headers=headers)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
stomp_connection = stomp.Connection12([(HOST, int(PORT))], vhost=VHOST)
if KIND == "mqtt":
    run_mqtt(stomp_connection)
else:
    run_batches(stomp_connection, {"sqlite": sqlite, "postgres": postgres}[KIND]())
