import sys, runpy, os
sys.path.insert(0, "/work/wt-classes")
try: runpy.run_path("/tmp/lab/classes_same.py", run_name="same")
except Exception:
    import traceback; traceback.print_exc()
sys.path.remove("/tmp/lab/old-classes")
import pytest
os.chdir("/work/wt-classes")
for tests in sys.argv[1:]:
    print("=====", tests, flush=True)
    pytest.main(["-v", "-p", "no:cacheprovider", "-m", "not slow", "--maxfail=8", "--tb=short", "-q", *tests.split()])
