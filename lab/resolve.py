"""resolve.py FILE CHOICES: o ours, t theirs, b both (ours then theirs), per conflict in order"""
import re,sys
p,ch=sys.argv[1],sys.argv[2]
s=open(p).read(); i=iter(ch)
def f(m):
    c=next(i); return {'o':m[1],'t':m[2],'b':m[1]+m[2],'r':m[2]+m[1],'n':''}[c]
s,n=re.subn(r'<<<<<<< [^\n]*\n(.*?)=======\n(.*?)>>>>>>> [^\n]*\n',f,s,flags=re.S)
open(p,'w').write(s); print(p,n,"left" ,len(list(i)))
