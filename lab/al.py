import resource; resource.setrlimit(resource.RLIMIT_AS,(4<<30,4<<30))
from clamnet_tf.imaging.readers import read_volume
try: read_volume('/tmp/alpha.png')
except Exception as e: print(type(e).__name__,e, repr(e.__cause__))
