"""The guest under attack, and its honest client.

server: an echo server on port 7, another on port 70; port 80 sends without end to whoever connects; port 81 tells what the stack holds.
client ADDRESS SECONDS BYTES CONNECTIONS: one connection that goes on all the time, its bytes compared, and a new one again and again, until both have
come as far as BYTES and CONNECTIONS say, but for SECONDS at most; prints what came of it.
"""
import asyncio, os, socket, sys, threading, time


async def echo(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError: pass
    finally: writer.close()


async def pour(reader, writer):
    try:
        while True:
            writer.write(bytes(65536))
            await writer.drain()
    except OSError: pass
    finally: writer.close()


async def tell(reader, writer):
    for name in os.environ.get('TELL', 'sockstat sockstat6').split(): writer.write(open('/proc/net/' + name, 'rb').read())
    writer.close()


async def serve(*servers):
    for port, handler in servers: await asyncio.start_server(handler, '0.0.0.0', port, backlog=512)
    print('ready' if servers[0][0] == 7 else '', end='\n', flush=True)
    await asyncio.Event().wait()


def server():
    """What a hostile peer keeps busy is another process: it shall slow others down by what it does to the stack alone."""
    if os.fork() == 0: asyncio.run(serve((70, echo), (80, pour)))
    time.sleep(0.5)
    asyncio.run(serve((7, echo), (81, tell)))


def steady(address, goes_on, result):
    pattern = os.urandom(65536 + 4096)
    s = socket.create_connection((address, 7), 30)
    s.settimeout(20)
    longest, exact = 0, 0
    while goes_on():
        began = time.monotonic()
        at = exact % 4096
        piece = pattern[at:at + 32768]
        s.sendall(piece)
        back = b''
        while len(back) < len(piece):
            got = s.recv(65536)
            if not got: raise SystemExit('closed')
            back += got
        if back != piece: raise SystemExit('bytes differ')
        exact += len(piece)
        longest = max(longest, time.monotonic() - began)
        result.update(exact=exact, longest=longest)


def client(address, seconds, bytes_wanted, connections_wanted):
    until = time.monotonic() + seconds
    result = {'exact': 0, 'longest': 0}
    made, slowest = 0, 0
    goes_on = lambda: time.monotonic() < until and (made < connections_wanted or result['exact'] < bytes_wanted)
    thread = threading.Thread(target=steady, args=(address, goes_on, result))
    thread.start()
    while goes_on():
        began = time.monotonic()
        with socket.create_connection((address, 7), 20) as s:
            s.settimeout(20)
            s.sendall(b'hello')
            if s.recv(5) != b'hello': raise SystemExit('wrong answer')
        made += 1
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(0.05)
    thread.join()
    print('exact %d longest %.2f made %d slowest %.2f' % (result['exact'], result['longest'], made, slowest))


if sys.argv[1] == 'server': server()
else: client(sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
