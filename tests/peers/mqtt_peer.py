"""The other end of DLMS over MQTT, made of paho-mqtt and nothing of ours, from the topics in docs/mqtt.md.

    mqtt_peer.py '{"role": "bridge", "broker": 1883, "place": "site/meter", "port": 4059}'
    mqtt_peer.py '{"role": "head-end", "broker": 1883, "place": "site/meter", "port": 4060}'

A bridge stands before a meter at TCP port `port`, and a head-end listens at `port` for a client that speaks the wrapper
over TCP. So the stacks of Gurux and dlms-cosem are on brokers without knowing. All options: `--help`.

Prints `listening PORT`, then JSON lines: `dropped` (a bridge: repeated, retained, late), `answered` (a head-end: the
octets, and whether it was the answer to what it asked last).
"""

import json
import queue
import secrets
import socket
import sys
import threading
import time
from collections import deque

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from peer_wire import cut_hdlc, cut_wrapper, emit, limit_lifetime, read_options, run, say

DEFAULTS = {
    "role": "bridge",  # or head-end
    "broker": 1883,
    "protocol": "5",  # or 3.1.1
    "place": "site/meter",
    "root": "dlms/v1",
    "port": 0,
    "state": True,  # a bridge keeps its state at the broker
    "times": 1,  # publish everything so many times
    "reply_seconds": 30,
    "late_answer_first": False,  # a bridge: before each answer the last one once more
    "framing": "wrapper",  # or hdlc: a bridge passes on frames, as a transparent modem does
    "minimal": False,  # a head-end: says where the answer goes and to what, and nothing else (5)
    "asks_late": False,  # a head-end: each request first with a deadline that is over, under an id of its own
    "lifetime_seconds": 120,
}


class Broker:
    """A connection to the broker, which hands messages on by a queue."""

    def __init__(self, options, topics, will=None):
        self.is_5 = options.protocol == "5"
        version = mqtt.MQTTv5 if self.is_5 else mqtt.MQTTv311
        self.heard = queue.Queue()
        self._times = options.times
        self._ready = threading.Event()
        self._topics = topics
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=version)
        if will:
            self.client.will_set(*will, qos=1, retain=True)
        self.client.on_connect = lambda client, *_: client.subscribe([(topic, 1) for topic in self._topics])
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_message = lambda _client, _data, message: self.heard.put(message)
        self.client.connect("127.0.0.1", options.broker)
        self.client.loop_start()
        if not self._ready.wait(10):
            raise TimeoutError("no connection to the broker")

    def publish(self, topic, payload, **properties):
        said = None
        if self.is_5 and properties:
            said = Properties(PacketTypes.PUBLISH)
            for name, value in properties.items():
                setattr(said, name, value)
        for _ in range(self._times):
            self.client.publish(topic, payload, qos=1, properties=said).wait_for_publish(10)


class Bridge:
    """Requests from the broker to a meter, one after the other, and its answers back."""

    def __init__(self, options):
        self._options = options
        self._base = f"{options.root}/{options.place}"
        state = (f"{self._base}/state", json.dumps({"online": False}))
        topics = [f"{self._base}/rq", f"{self._base}/rq/#"] if options.protocol == "3.1.1" else [f"{self._base}/rq"]
        self._broker = Broker(options, topics, state if options.state else None)
        self._seen = deque(maxlen=32)
        self._last = None
        self._meter = None
        self._buffer = bytearray()
        if options.state:
            online = json.dumps({"online": True, "since": int(time.time()), "fw": "0.1", "profile": "gurux"})
            self._broker.client.publish(state[0], online, qos=1, retain=True).wait_for_publish(10)

    def serve(self):
        while True:
            message = self._broker.heard.get()
            answer_to, correlation, deadline = self._route(message)
            why = None
            if message.retain:
                why = "retained"
            elif deadline < time.time():
                why = "late"
            elif correlation in self._seen:
                why = "repeated"
            if why:
                emit("dropped", why=why)
                continue
            self._seen.append(correlation)
            answer = self._ask(message.payload)
            if answer is None:
                continue
            if self._last and self._options.late_answer_first:
                self._answer(*self._last)
            self._last = (answer_to, correlation, answer)
            self._answer(*self._last)

    def push(self, message):
        self._broker.publish(f"{self._base}/push", message)
        emit("pushed")

    def _route(self, message):
        if not self._broker.is_5:
            worker, identifier, deadline = message.topic.removeprefix(f"{self._base}/rq/").split("/")
            return f"{self._base}/rs/{worker}/{identifier}", identifier, int(deadline)
        properties = message.properties
        return properties.ResponseTopic, properties.CorrelationData, time.time() + properties.MessageExpiryInterval

    def _answer(self, topic, correlation, payload):
        self._broker.publish(topic, payload, CorrelationData=correlation)

    def _ask(self, message):
        """The meter's answer; None if it hung up."""
        if self._meter is None:
            self._meter = socket.create_connection(("127.0.0.1", self._options.port), timeout=10)
            self._meter.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._buffer.clear()
        self._meter.sendall(message)
        cut = cut_hdlc if self._options.framing == "hdlc" else cut_wrapper
        while not (answer := cut(self._buffer)):
            octets = self._meter.recv(4096)
            if not octets:
                self._meter = None
                emit("dropped", why="meter hung up")
                return None
            self._buffer += octets
        return answer


class HeadEnd:
    """A TCP client's requests to the broker, and the answers back."""

    def __init__(self, options, client):
        self._options = options
        self._client = client
        self._base = f"{options.root}/{options.place}"
        self._worker = secrets.token_hex(4)
        own = f"{self._base}/rs/{self._worker}"
        self._own = own
        self._broker = Broker(options, [own] if options.protocol == "5" else [f"{own}/+"])

    def serve(self):
        buffer = bytearray()
        try:
            while octets := self._client.recv(4096):
                buffer += octets
                while message := cut_wrapper(buffer):
                    self._client.sendall(self._exchange(message))
        finally:
            self._drain(None)
            self._client.close()
            self._broker.client.disconnect()
            self._broker.client.loop_stop()

    def _exchange(self, message):
        self._drain(None)
        if self._options.asks_late:
            self._ask(message, secrets.token_bytes(16), time.time() - 60)
        correlation = secrets.token_bytes(16)
        self._ask(message, correlation, time.time() + self._options.reply_seconds)
        return self._drain(correlation)

    def _ask(self, message, correlation, deadline):
        seconds = self._options.reply_seconds
        if not self._broker.is_5:
            self._broker.publish(f"{self._base}/rq/{self._worker}/{correlation.hex().upper()}/{int(deadline)}", message)
            return
        if self._options.minimal:
            self._broker.publish(f"{self._base}/rq", message, ResponseTopic=self._own, CorrelationData=correlation)
            return
        self._broker.publish(
            f"{self._base}/rq",
            message,
            ResponseTopic=self._own,
            CorrelationData=correlation,
            MessageExpiryInterval=seconds,
            ContentType="application/vnd.dlms.wpdu",
            UserProperty=[("deadline", str(int(deadline)))],
        )

    def _drain(self, wanted):
        """Take answers until the wanted one is there; without one, what is there already."""
        while True:
            try:
                answer = self._broker.heard.get(timeout=self._options.reply_seconds if wanted else 0)
            except queue.Empty:
                if wanted:
                    raise TimeoutError("no answer") from None
                return None
            if self._broker.is_5:
                correlation = answer.properties.CorrelationData
            else:
                correlation = bytes.fromhex(answer.topic.rpartition("/")[2])
            emit("answered", wanted=correlation == wanted, retained=answer.retain, qos=answer.qos)
            if correlation == wanted:
                return answer.payload


def main():
    options = read_options(DEFAULTS)
    limit_lifetime(options.lifetime_seconds)
    if options.role == "bridge":
        bridge = Bridge(options)
        say(f"listening {options.port}")
        threading.Thread(target=say_what_is_pushed, args=(bridge,), daemon=True).start()
        bridge.serve()
    listener = socket.create_server(("127.0.0.1", options.port))
    say(f"listening {options.port}")
    while True:
        HeadEnd(options, listener.accept()[0]).serve()


def say_what_is_pushed(bridge):
    """Lines on standard input are wrapper messages in hex."""
    for line in sys.stdin:
        bridge.push(bytes.fromhex(line))


run(main)
