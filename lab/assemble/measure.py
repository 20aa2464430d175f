import ast,sys,pathlib
def funcs(tree,pre=""):
    for n in ast.walk(tree):
        if isinstance(n,(ast.FunctionDef,ast.AsyncFunctionDef)): yield n
for p in sys.argv[1:]:
    t=ast.parse(pathlib.Path(p).read_text()); fs=list(funcs(t))
    lines=len(pathlib.Path(p).read_text().splitlines())
    if not fs: print(p,lines); continue
    big=max(fs,key=lambda f:f.end_lineno-f.lineno)
    count=lambda f:len([a for a in f.args.posonlyargs+f.args.args+f.args.kwonlyargs if a.arg not in('self','cls')])
    wide=max(fs,key=count)
    rec=pathlib.Path(p).read_text().count("recipe.")-pathlib.Path(p).read_text().count("clamnet_tf.recipe.")
    print(f"{p}: {lines} lines; largest {big.name} {big.end_lineno-big.lineno+1}; widest {wide.name} {count(wide)}; recipe. {sum('recipe.' in l.replace('clamnet_tf.recipe.','') for l in pathlib.Path(p).read_text().splitlines())} lines")
