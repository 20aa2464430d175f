import re, subprocess, ast
files="marking/volume_marking marking/slice_masks recipe/classes evaluation/per_class losses/hybrid losses/contrastive training/pseudo_labels training/thresholds training/objectives training/selection training/siamese data/sealed training/supervised".split()
for f in files:
    p=f"clamnet_tf/{f}.py"; src=open(p).read()
    doc=set()
    for node in ast.walk(ast.parse(src)):
        if isinstance(node,ast.Expr) and isinstance(node.value,ast.Constant) and isinstance(node.value.value,str) and node.end_lineno>node.lineno:
            doc|=set(range(node.lineno+1,node.end_lineno))
    blame=subprocess.run(["git","blame","-s","HEAD~1..","--",p],capture_output=True,text=True).stdout.splitlines()
    lines=src.splitlines(); mine=[not b.startswith("^") for b in blame]
    out=[]; carry=None
    for n,line in enumerate(lines,1):
        ind=len(line)-len(line.lstrip())
        if carry is not None:
            text,cind=carry
            named=re.match(r"\s*[\w, ]+:( |$)",line)
            if n in doc and line.strip() and ind==cind and not named:
                line=" "*cind+text+" "+line.strip()
            else:
                out.append(" "*cind+text)
            carry=None; ind=len(line)-len(line.lstrip())
        if n in doc and len(line)>110 and (mine[n-1] or out) and "   " not in line.strip() and (mine[n-1] or True):
            if not mine[n-1] and len(lines[n-1])>110 and line==lines[n-1]:
                out.append(line); continue
            cut=line.rfind(" ",0,111)
            named=re.match(r"\s*[\w, ]+:( |$)",line)
            nxt=lines[n] if n<len(lines) else ""
            nind=len(nxt)-len(nxt.lstrip())
            cind=ind+4 if named and (nind>ind or not nxt.strip() or nind<=ind and re.match(r"\s*[\w, ]+:( |$)",nxt) or nxt.strip()=='"""') else ind
            carry=(line[cut+1:].strip(),cind); line=line[:cut]
        out.append(line)
    open(p,"w").write("\n".join(out)+"\n")
