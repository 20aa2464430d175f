import sys,resource,os; sys.path[:0]=['/work/main','/work/main/tools','/work/main/tests/clinical']
import importlib.util,pathlib
spec=importlib.util.spec_from_file_location('th','/work/main/tests/clinical/test_hostile.py'); th=importlib.util.module_from_spec(spec); spec.loader.exec_module(th)
p=pathlib.Path('/tmp/lab/a.tif'); 
if not p.exists(): th.largest_tiff(p)
pid=os.fork() if False else 0
def hwm(): 
    return [int(l.split()[1])//1024 for l in open('/proc/self/status') if l.startswith(('VmHWM','VmRSS'))]
which=sys.argv[1]; print(hwm())
if which=='v':
    from clamnet_tf.imaging.readers import read_volume
    v=read_volume(p); print('read_volume',hwm(),v.array.shape)
else:
    from clamnet_tf.imaging.mask_files import read_mask
    try: m=read_mask(p); print(m.values.shape)
    except Exception as e: print(type(e),str(e)[:200])
    print('read_mask',hwm())
