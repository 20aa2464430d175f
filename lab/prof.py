import sys,cProfile,pstats,shutil,signal
sys.path.insert(0,'/work/wt-fuzz')
from clamnet_tf.data.manifest import read_manifest
import tempfile,pathlib
d=pathlib.Path(tempfile.mkdtemp()); shutil.copy('/tmp/ff/001_manifest_manifest.csv',d/'manifest.csv')
p=cProfile.Profile()
class T(Exception): pass
def h(*a): raise T
signal.signal(signal.SIGALRM,h); signal.alarm(12)
p.enable()
try: read_manifest(d/'manifest.csv')
except T: print('timeout')
except Exception as e: print(type(e),str(e)[:300])
p.disable(); pstats.Stats(p).sort_stats('cumtime').print_stats(18)
