import re
s=open('/work/main/tests/clinical/test_file_names.py').read()
s=s.replace('    assert code == 1 and "Traceback" not in text, text\n','    print("OUT>>>", text, "<<<", code)\n    assert code == 1 and "Traceback" not in text, text\n',1)
open('/work/main/tests/clinical/test_file_names_dbg.py','w').write(s)
