"""A hostile neighbour on an Ethernet link: python3 peer.py DEVICE TARGET OWN SECONDS RATE ATTACK.

Frames are made by hand and sent by a packet socket (packet(7)), from address OWN, which no interface has: this program answers ARP for it
itself. RATE is how many a second. TARGET is a guest with a server on port 80 that sends without end, and echo servers on ports 7 and 70.
Each attack goes on for SECONDS, or until SIGTERM, and then says how many frames it sent. Numbers are random, from a seed that is fixed for each attack.
"""
import os, random, select, signal, socket, struct, sys, time

device, target, own = sys.argv[1], socket.inet_aton(sys.argv[2]), socket.inet_aton(sys.argv[3])
seconds, rate, attack = float(sys.argv[4]), float(sys.argv[5]), sys.argv[6]
OWN_MAC = b'\x02\x00\x00\x00\x00\x66'
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
link.bind((device, 0))
link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
number = random.Random(attack)
began = time.monotonic()
sent = 0
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32


def checksum(data):
    if len(data) & 1: data += b'\0'
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def send(frame):
    global sent
    sent += 1
    if sent % 100 == 0: time.sleep(max(0, began + sent / rate - time.monotonic()))
    try: link.send(frame)
    except OSError: pass  # a full queue, a frame that is too long


def ethernet(kind, payload): return target_mac + OWN_MAC + struct.pack('!H', kind) + payload


def ipv4(protocol, payload, source=None, fragment=0, ident=0, options=b'', total=None):
    words = 5 + len(options) // 4
    total = total if total is not None else 4 * words + len(payload)
    header = struct.pack('!BBHHHBBH4s4s', 0x40 | words, 0, total & 0xffff, ident, fragment, 64, protocol, 0, source or own, target) + options
    header = header[:10] + struct.pack('!H', checksum(header)) + header[12:]
    return ethernet(0x800, header + payload)


def tcp(port, to, seq, ack, flags, window=65535, options=b'', data=b'', source=None, words=None):
    options += b'\0' * (-len(options) % 4)
    words = words if words is not None else 5 + len(options) // 4
    segment = struct.pack('!HHIIBBHHH', port, to, seq & 0xffffffff, ack & 0xffffffff, words << 4, flags, window, 0, 0) + options + data
    sum_ = checksum((source or own) + target + struct.pack('!BBH', 0, 6, len(segment)) + segment)
    return ipv4(6, segment[:16] + struct.pack('!H', sum_) + segment[18:], source)


def arp(operation, sender, mac, asked, to=b'\xff' * 6):
    return to + OWN_MAC + struct.pack('!HHHBBH6s4s6s4s', 0x806, 1, 0x800, 6, 4, operation, mac, sender, b'\0' * 6, asked)


def receive(wait):
    """The next frame for OWN, with questions for it answered; None after `wait` seconds."""
    end = time.monotonic() + wait
    while select.select([link], [], [], max(0, end - time.monotonic()))[0]:
        frame = link.recv(65536)
        if frame[12:14] == b'\x08\x06' and frame[38:42] == own and frame[20:22] == b'\0\1':
            link.send(arp(2, own, OWN_MAC, frame[28:32], frame[6:12]))
        elif frame[12:14] == b'\x08\0' and frame[30:34] == own or frame[12:14] == b'\x08\x06' and frame[38:42] == own: return frame
    return None


def find_target():
    while time.monotonic() < began + 5:
        link.send(arp(1, own, OWN_MAC, target))
        while (frame := receive(0.1)) is not None:
            if frame[12:14] == b'\x08\x06': return frame[22:28]
    sys.exit('the guest does not answer ARP')


target_mac = b'\xff' * 6
target_mac = find_target()
began = time.monotonic()
until = began + seconds


def stop(*_):
    global until
    until = 0


signal.signal(signal.SIGTERM, stop)
print('attacking', flush=True)

class Connection:
    """An established connection that this program makes up: its next numbers in both directions."""

    def __init__(self, port, to, options=b'\x02\x04\x05\xb4', window=65535):
        self.port, self.to = port, to
        self.seq = number.getrandbits(32)
        send(tcp(port, to, self.seq, 0, SYN, window, options))
        self.seq += 1
        self.ack = 0

    def answered(self, frame, window):
        self.ack = struct.unpack('!I', frame[38:42])[0] + 1
        self.send(ACK, window=window)

    def send(self, flags, seq=0, ack=0, **more): send(tcp(self.port, self.to, self.seq + seq, self.ack + ack, flags, **more))


def connect(count, to, window=65535):
    """`count` connections, as far as the guest takes them."""
    waiting, done = {}, []
    for i in range(count):
        port = 10000 + i
        waiting[port] = Connection(port, to, window=window)
        while (frame := receive(0 if i % 50 else 0.02)) is not None: take(frame, waiting, done, window)
    while waiting and (frame := receive(0.3)) is not None: take(frame, waiting, done, window)
    print('connections', len(done))
    return done


def take(frame, waiting, done, window):
    if frame[12:14] != b'\x08\0' or frame[23] != 6 or frame[47] & (SYN | ACK) != SYN | ACK: return
    connection = waiting.pop(struct.unpack('!H', frame[36:38])[0], None)
    if connection is None: return
    connection.answered(frame, window)
    done.append(connection)


def over_and_over(frames):
    while time.monotonic() < until:
        for frame in frames: send(frame)


def stranger(): return own[:2] + bytes([own[2], number.randrange(3, 250)])[-2:] if number.random() < 0.2 else bytes(number.randrange(1, 224) for _ in range(4))


def syn_flood():
    ports = [7, 80, 81, 9999]
    over_and_over([tcp(number.randrange(1, 65536), number.choice(ports), number.getrandbits(32), 0, SYN, options=b'\x02\x04\x05\xb4\x04\x02\x03\x03\x07', source=stranger()) for _ in range(20000)])


def fragments():
    frames = []
    for i in range(5000):
        ident, more = number.getrandbits(16), 0x2000
        offset = number.choice([0, 1, 2, 3, 100, 185, 8000, 8189, 8191])
        part = os.urandom(number.choice([8, 16, 24, 512, 1480]))
        frames.append(ipv4(number.choice([1, 6, 17]), part, fragment=more | offset, ident=ident))
        frames.append(ipv4(17, os.urandom(24), fragment=more | (offset + 1), ident=ident))       # overlaps
        frames.append(ipv4(17, os.urandom(number.choice([0, 1, 7, 1480])), fragment=8191 if i & 1 else offset, ident=ident))  # the last; beyond 64 KiB
        source, whole = b'\xfd' + bytes(15), b'\xff\x02' + bytes(13) + b'\1'
        header = struct.pack('!BBHI', 17, 0, (offset << 3) | 1, ident)
        frames.append(ethernet(0x86dd, struct.pack('!IHBB', 6 << 28, 8 + len(part), 44, 64) + source + whole + header + part))
    over_and_over(frames)


def zero_window():
    held = connect(600, 80, window=100)
    while time.monotonic() < until:
        for c in held: c.send(ACK, window=0)
        while (frame := receive(0)) is not None: pass
        time.sleep(0.05)


def wrong_acknowledgements():
    held = connect(100, 80)
    while time.monotonic() < until:
        for c in held:
            c.send(ACK, ack=number.getrandbits(32))
            c.send(ACK, ack=number.randrange(0, 1 << 20), window=number.getrandbits(16))
            c.send(ACK, options=b'\x01\x01\x05\x12' + os.urandom(16))                       # selective acknowledgements of anything
            c.send(number.choice([RST, RST | ACK]), seq=number.randrange(2, 60000))
            c.send(SYN, seq=number.randrange(-5, 60000))
            c.send(ACK | FIN, seq=number.randrange(1, 60000))
            c.send(ACK | URG, seq=number.randrange(-60000, 60000), data=os.urandom(9))
        while receive(0) is not None: pass


def out_of_order():
    held = connect(200, 70)
    while time.monotonic() < until:
        for c in held: c.send(ACK, seq=number.randrange(1, 60000), data=os.urandom(number.choice([1, 2, 1400])))
        while receive(0) is not None: pass


def options():
    frames = []
    bad = [b'\x02\x00', b'\x02\x01', b'\x02\xff\x05\xb4', b'\x02\x04\x00\x00', b'\x03\x03\xff', b'\x03\xff\x0e', b'\x05\xfe' + bytes(8), b'\x08\x02', b'\x08\x0a' + b'\xff' * 8, b'\x22\xff' + bytes(30), b'\xfe\x28' + bytes(38), b'\x13\x12' + bytes(16)]
    for i in range(5000):
        chosen = b''.join(number.sample(bad, 4))[:40]
        flags = number.getrandbits(8)
        frames.append(tcp(number.randrange(1024, 65536), number.choice([7, 80]), number.getrandbits(32), number.getrandbits(32), flags, options=chosen))
        frames.append(tcp(number.randrange(1024, 65536), 7, number.getrandbits(32), 0, SYN, words=number.randrange(16)))
        frames.append(ipv4(number.choice([1, 6, 17]), os.urandom(40), options=number.choice([b'\x07\x03\x04\0', b'\x07\xff\x04\0', b'\x83\x27\x04' + bytes(37), b'\x44\x00\x05\0', b'\x94\x04\0\0'])))
        frames.append(ipv4(6, os.urandom(number.randrange(0, 60)), total=number.getrandbits(16)))
    over_and_over(frames)


def control():
    """What routers and neighbours may say: errors, redirects, who has which address."""
    frames = []
    for i in range(5000):
        quoted = struct.pack('!BBHHHBBH4s4sHHI', 0x45, 0, 1500, 0, 0, 64, 6, 0, target, number.choice([own, stranger()]), 7, number.getrandbits(16), number.getrandbits(32))
        kind, code = number.choice([(3, 0), (3, 1), (3, 3), (3, 4), (4, 0), (5, 1), (11, 0), (11, 1), (12, 0)])
        body = struct.pack('!BBHHH', kind, code, 0, 0, number.choice([0, 1, 68, 552, 1400])) + quoted
        frames.append(ipv4(1, body[:2] + struct.pack('!H', checksum(body)) + body[4:]))
        frames.append(arp(number.choice([1, 2]), stranger(), os.urandom(6), target))
        frames.append(ethernet(number.choice([0x800, 0x806, 0x86dd, 0x8100, 0x888e, 5]), os.urandom(number.randrange(0, 1500))))
    over_and_over(frames)


{f.__name__: f for f in (syn_flood, fragments, zero_window, wrong_acknowledgements, out_of_order, options, control)}[attack]()
print('sent', sent)
