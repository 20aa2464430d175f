"""resolve conflict blocks: rs.py FILE n:choice ... (choice o=ours t=theirs b=both)"""
import re,sys
p=sys.argv[1]; ch=dict(a.split(":") for a in sys.argv[2:]); s=open(p).read(); k=[0]
def f(m):
    k[0]+=1; c=ch.get(str(k[0]),ch.get("*"))
    if c is None: return m.group(0)
    return {"o":m.group(1),"t":m.group(2),"b":m.group(1)+m.group(2)}[c]
s=re.sub(r"<<<<<<< [^\n]*\n(.*?)(?:\|\|\|\|\|\|\| .*?)?=======\n(.*?)>>>>>>> [^\n]*\n",f,s,flags=re.S); open(p,"w").write(s)
