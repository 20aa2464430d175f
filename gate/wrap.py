"""Wrap docstring and comment lines longer than 110 columns: python wrap.py FILE... ; the code (AST without docstrings' white space) must stay."""
import ast, io, re, sys, textwrap, tokenize
W = 110
ARG = re.compile(r"^\s*[\w*`][\w, .*/()`\[\]]{0,40}: ")
LIST = re.compile(r"^\s*([-*|>]|\d+\.|\.\.)\s|^\s*(Args|Returns|Raises|Example|Attributes|Yields|Note)s?:\s*$")
def fill(lines, base):
    """The lines of one docstring's inside (first line with its text only after the quotes is handled by the caller)."""
    out, i, lines = [], 0, list(lines)
    while i < len(lines):
        line = lines[i]
        limit = W
        if len(line) <= limit or re.search(r"\S {3,}\S", line): out.append(line); i += 1; continue
        indent = re.match(r"\s*", line)[0]
        after = lines[i + 1] if i + 1 < len(lines) else ""
        after_indent = re.match(r"\s*", after)[0]
        if after.strip() and len(after_indent) > len(indent): hang = after_indent
        elif ARG.match(line) and len(indent) > base: hang = indent + "    "
        else: hang = indent
        cut = line.rfind(" ", len(indent) + 10, limit + 1)
        if cut < 0: out.append(line); i += 1; continue
        out.append(line[:cut].rstrip()); rest = line[cut:].strip()
        joins = after.strip() and after_indent == hang and not ARG.match(after) and not LIST.match(after) and not re.search(r"\S {3,}\S", after) and not after.strip().startswith(('"""', "'''", "\b"))
        if joins: lines[i + 1] = hang + rest + " " + after.strip()
        else: lines.insert(i + 1, hang + rest)
        i += 1
    return out
def plain(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str): node.value.value = " ".join(node.value.value.split())
    return ast.dump(tree)
for name in sys.argv[1:]:
    text = open(name).read()
    if not any(len(line) > W for line in text.splitlines()): continue
    lines = text.split("\n"); edits = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            a, b = node.lineno - 1, node.end_lineno
            if any(len(line) > W for line in lines[a:b]) and text: edits.append((a, b, node.col_offset))
    for a, b, base in sorted(edits, reverse=True):
        new = fill(lines[a:b], base)
        if a + 1 == b and len(new) > 1 and new[-1].rstrip().endswith('"""'): new = [*new[:-1], new[-1].rstrip()[:-3].rstrip(), " " * base + '"""']
        lines[a:b] = new
    out = []
    for line in lines:
        if len(line) > W and line.lstrip().startswith("#") and not line.lstrip().startswith("#!"):
            indent = re.match(r"\s*#:? ?", line)[0]
            out += textwrap.wrap(line, W, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        else: out.append(line)
    made = "\n".join(out)
    if plain(ast.parse(made)) != plain(ast.parse(text)): print("left alone, would change:", name); continue
    if made != text: open(name, "w").write(made)
