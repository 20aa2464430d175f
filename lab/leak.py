import sys,threading; sys.path[:0]=['/work/main','/work/main/tools']
from fuzzing.targets import _Server
import socket
for i in range(50):
    with _Server(b"HTTP/1.1 200 OK\r\n\r\nx") as s:
        c=socket.create_connection(("127.0.0.1",s.port)); c.sendall(b"GET / HTTP/1.1\r\n\r\n"); c.recv(100); c.close()
print(threading.active_count())
