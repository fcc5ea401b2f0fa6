import { print } from "../lib/wasi";
// The large, branchy program: a small SQL engine. Tokenizer, recursive-descent parser, compiler to bytecode, a virtual
// machine with a switch, tables with a B-tree index, sorting, grouping, and string functions.

const enum T { end, word, number, text, symbol }

class Token {
  constructor(public kind: T, public text: string, public value: f64) {}
}

function isLetter(c: i32): bool { return (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || c == 95; }
function isDigit(c: i32): bool { return c >= 48 && c <= 57; }

function tokenize(sql: string): Token[] {
  const tokens: Token[] = [];
  let i = 0;
  while (i < sql.length) {
    const c = sql.charCodeAt(i);
    if (c == 32 || c == 10) { i++; continue; }
    let j = i;
    if (isLetter(c)) {
      while (j < sql.length && (isLetter(sql.charCodeAt(j)) || isDigit(sql.charCodeAt(j)))) j++;
      tokens.push(new Token(T.word, sql.substring(i, j).toLowerCase(), 0));
    } else if (isDigit(c)) {
      while (j < sql.length && (isDigit(sql.charCodeAt(j)) || sql.charCodeAt(j) == 46)) j++;
      tokens.push(new Token(T.number, "", F64.parseFloat(sql.substring(i, j))));
    } else if (c == 39) {
      j++;
      while (j < sql.length && sql.charCodeAt(j) != 39) j++;
      tokens.push(new Token(T.text, sql.substring(i + 1, j), 0));
      j++;
    } else {
      j++;
      if (j < sql.length && (c == 60 || c == 62 || c == 33) && (sql.charCodeAt(j) == 61 || sql.charCodeAt(j) == 62)) j++;
      tokens.push(new Token(T.symbol, sql.substring(i, j), 0));
    }
    i = j;
  }
  tokens.push(new Token(T.end, "", 0));
  return tokens;
}

const enum Op {
  number, text, column, add, sub, mul, div, mod, neg, eq, ne, lt, le, gt, ge, and, or, not, like, concat, length, upper,
  lower, abs, floor, sqrt, substr, min, max, jumpFalse, jump, pop, isNull, halt, round, sign, instr, replace, repeat,
}

class Value {
  constructor(public isText: bool, public number: f64, public text: string) {}
  show(): string {
    if (this.isText) return this.text;
    const whole = <i64>this.number;
    return <f64>whole == this.number ? whole.toString() : (Math.round(this.number * 1000) / 1000).toString();
  }
}

class Program {
  ops: i32[] = [];
  operands: i32[] = [];
  numbers: f64[] = [];
  texts: string[] = [];
  emit(op: Op, operand: i32 = 0): i32 {
    this.ops.push(op);
    this.operands.push(operand);
    return this.ops.length - 1;
  }
}

class Table {
  columns: string[] = [];
  rows: Value[][] = [];
  index: Tree | null = null;
  indexed: i32 = -1;
  constructor(public name: string) {}
}

/** A B-tree from a number to row positions, order 16. */
class TreeNode {
  keys: f64[] = [];
  rows: i32[] = [];
  children: TreeNode[] = [];
}

class Tree {
  root: TreeNode = new TreeNode();
  insert(key: f64, row: i32): void {
    if (this.root.keys.length == 31) {
      const root = new TreeNode();
      root.children.push(this.root);
      this.split(root, 0);
      this.root = root;
    }
    let node = this.root;
    for (;;) {
      let low = 0, high = node.keys.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (node.keys[middle] <= key) low = middle + 1;
        else high = middle;
      }
      if (node.children.length == 0) {
        node.keys.push(0);
        node.rows.push(0);
        for (let i = node.keys.length - 1; i > low; i--) {
          node.keys[i] = node.keys[i - 1];
          node.rows[i] = node.rows[i - 1];
        }
        node.keys[low] = key;
        node.rows[low] = row;
        return;
      }
      if (node.children[low].keys.length == 31) {
        this.split(node, low);
        if (key >= node.keys[low]) low++;
      }
      node = node.children[low];
    }
  }
  split(parent: TreeNode, at: i32): void {
    const left = parent.children[at];
    const right = new TreeNode();
    const middle = left.keys[15], row = left.rows[15];
    right.keys = left.keys.slice(16);
    right.rows = left.rows.slice(16);
    if (left.children.length > 0) {
      right.children = left.children.slice(16);
      left.children = left.children.slice(0, 16);
    }
    left.keys = left.keys.slice(0, 15);
    left.rows = left.rows.slice(0, 15);
    parent.keys.push(0);
    parent.rows.push(0);
    parent.children.push(right);
    for (let i = parent.keys.length - 1; i > at; i--) {
      parent.keys[i] = parent.keys[i - 1];
      parent.rows[i] = parent.rows[i - 1];
      parent.children[i + 1] = parent.children[i];
    }
    parent.keys[at] = middle;
    parent.rows[at] = row;
    parent.children[at + 1] = right;
  }
  collect(node: TreeNode, from: f64, to: f64, out: i32[]): void {
    for (let i = 0; i < node.keys.length; i++) {
      const key = node.keys[i];
      if (node.children.length > 0 && key >= from) this.collect(node.children[i], from, to, out);
      if (key > to) return;
      if (key >= from) out.push(node.rows[i]);
    }
    if (node.children.length > 0) this.collect(node.children[node.children.length - 1], from, to, out);
  }
}

class Parser {
  at: i32 = 0;
  program: Program = new Program();
  constructor(public tokens: Token[], public table: Table) {}
  get token(): Token { return this.tokens[this.at]; }
  accept(text: string): bool {
    const token = this.tokens[this.at];
    if (token.kind == T.text || token.text != text) return false;
    this.at++;
    return true;
  }
  expression(): void {
    this.conjunction();
    while (this.accept("or")) { this.conjunction(); this.program.emit(Op.or); }
  }
  conjunction(): void {
    this.comparison();
    while (this.accept("and")) { this.comparison(); this.program.emit(Op.and); }
  }
  comparison(): void {
    if (this.accept("not")) { this.comparison(); this.program.emit(Op.not); return; }
    this.sum();
    if (this.accept("=")) { this.sum(); this.program.emit(Op.eq); }
    else if (this.accept("<>")) { this.sum(); this.program.emit(Op.ne); }
    else if (this.accept("<=")) { this.sum(); this.program.emit(Op.le); }
    else if (this.accept(">=")) { this.sum(); this.program.emit(Op.ge); }
    else if (this.accept("<")) { this.sum(); this.program.emit(Op.lt); }
    else if (this.accept(">")) { this.sum(); this.program.emit(Op.gt); }
    else if (this.accept("like")) { this.sum(); this.program.emit(Op.like); }
  }
  sum(): void {
    this.product();
    for (;;) {
      if (this.accept("+")) { this.product(); this.program.emit(Op.add); }
      else if (this.accept("-")) { this.product(); this.program.emit(Op.sub); }
      else if (this.accept("|")) { this.accept("|"); this.product(); this.program.emit(Op.concat); }
      else return;
    }
  }
  product(): void {
    this.atom();
    for (;;) {
      if (this.accept("*")) { this.atom(); this.program.emit(Op.mul); }
      else if (this.accept("/")) { this.atom(); this.program.emit(Op.div); }
      else if (this.accept("%")) { this.atom(); this.program.emit(Op.mod); }
      else return;
    }
  }
  call(op: Op): void {
    this.accept("(");
    do this.expression(); while (this.accept(","));
    this.accept(")");
    this.program.emit(op);
  }
  atom(): void {
    const token = this.token;
    if (this.accept("-")) { this.atom(); this.program.emit(Op.neg); return; }
    if (this.accept("(")) { this.expression(); this.accept(")"); return; }
    this.at++;
    if (token.kind == T.number) {
      this.program.numbers.push(token.value);
      this.program.emit(Op.number, this.program.numbers.length - 1);
    } else if (token.kind == T.text) {
      this.program.texts.push(token.text);
      this.program.emit(Op.text, this.program.texts.length - 1);
    } else if (token.text == "case") {
      this.accept("when");
      this.expression();
      this.accept("then");
      const otherwise = this.program.emit(Op.jumpFalse);
      this.expression();
      const end = this.program.emit(Op.jump);
      this.program.operands[otherwise] = this.program.ops.length;
      this.accept("else");
      this.expression();
      this.program.operands[end] = this.program.ops.length;
      this.accept("end");
    } else if (token.text == "length") this.call(Op.length);
    else if (token.text == "upper") this.call(Op.upper);
    else if (token.text == "lower") this.call(Op.lower);
    else if (token.text == "abs") this.call(Op.abs);
    else if (token.text == "floor") this.call(Op.floor);
    else if (token.text == "sqrt") this.call(Op.sqrt);
    else if (token.text == "round") this.call(Op.round);
    else if (token.text == "sign") this.call(Op.sign);
    else if (token.text == "substr") this.call(Op.substr);
    else if (token.text == "instr") this.call(Op.instr);
    else if (token.text == "replace") this.call(Op.replace);
    else if (token.text == "repeat") this.call(Op.repeat);
    else if (token.text == "least") this.call(Op.min);
    else if (token.text == "greatest") this.call(Op.max);
    else this.program.emit(Op.column, this.table.columns.indexOf(token.text));
  }
}

function like(text: string, pattern: string, t: i32, p: i32): bool {
  while (p < pattern.length) {
    const c = pattern.charCodeAt(p);
    if (c == 37) {
      for (let i = t; i <= text.length; i++) if (like(text, pattern, i, p + 1)) return true;
      return false;
    }
    if (t >= text.length || (c != 95 && c != text.charCodeAt(t))) return false;
    t++;
    p++;
  }
  return t == text.length;
}

function truth(value: Value): bool { return value.isText ? value.text.length > 0 : value.number != 0; }
function number(value: f64): Value { return new Value(false, value, ""); }
function bool_(value: bool): Value { return new Value(false, value ? 1 : 0, ""); }
function str(value: string): Value { return new Value(true, 0, value); }

function compare(a: Value, b: Value): i32 {
  if (a.isText != b.isText) return a.isText ? 1 : -1;
  if (a.isText) return a.text == b.text ? 0 : a.text < b.text ? -1 : 1;
  return a.number < b.number ? -1 : a.number > b.number ? 1 : 0;
}

function evaluate(program: Program, row: Value[]): Value {
  const stack: Value[] = [];
  let at = 0;
  const end = program.ops.length;
  while (at < end) {
    const operand = program.operands[at];
    switch (program.ops[at++]) {
      case Op.number: stack.push(number(program.numbers[operand])); break;
      case Op.text: stack.push(str(program.texts[operand])); break;
      case Op.column: stack.push(row[operand]); break;
      case Op.add: { const b = stack.pop(), a = stack.pop(); stack.push(number(a.number + b.number)); break; }
      case Op.sub: { const b = stack.pop(), a = stack.pop(); stack.push(number(a.number - b.number)); break; }
      case Op.mul: { const b = stack.pop(), a = stack.pop(); stack.push(number(a.number * b.number)); break; }
      case Op.div: { const b = stack.pop(), a = stack.pop(); stack.push(number(b.number == 0 ? 0 : a.number / b.number)); break; }
      case Op.mod: { const b = stack.pop(), a = stack.pop(); stack.push(number(b.number == 0 ? 0 : <f64>(<i64>a.number % <i64>b.number))); break; }
      case Op.neg: stack.push(number(-stack.pop().number)); break;
      case Op.eq: { const b = stack.pop(), a = stack.pop(); stack.push(bool_(compare(a, b) == 0)); break; }
      case Op.ne: { const b = stack.pop(), a = stack.pop(); stack.push(bool_(compare(a, b) != 0)); break; }
      case Op.lt: { const b = stack.pop(), a = stack.pop(); stack.push(bool_(compare(a, b) < 0)); break; }
      case Op.le: { const b = stack.pop(), a = stack.pop(); stack.push(bool_(compare(a, b) <= 0)); break; }
      case Op.gt: { const b = stack.pop(), a = stack.pop(); stack.push(bool_(compare(a, b) > 0)); break; }
      case Op.ge: { const b = stack.pop(), a = stack.pop(); stack.push(bool_(compare(a, b) >= 0)); break; }
      case Op.and: { const b = stack.pop(), a = stack.pop(); stack.push(bool_(truth(a) && truth(b))); break; }
      case Op.or: { const b = stack.pop(), a = stack.pop(); stack.push(bool_(truth(a) || truth(b))); break; }
      case Op.not: stack.push(bool_(!truth(stack.pop()))); break;
      case Op.like: { const b = stack.pop(), a = stack.pop(); stack.push(bool_(like(a.text, b.text, 0, 0))); break; }
      case Op.concat: { const b = stack.pop(), a = stack.pop(); stack.push(str(a.show() + b.show())); break; }
      case Op.length: stack.push(number(<f64>stack.pop().text.length)); break;
      case Op.upper: stack.push(str(stack.pop().text.toUpperCase())); break;
      case Op.lower: stack.push(str(stack.pop().text.toLowerCase())); break;
      case Op.abs: stack.push(number(Math.abs(stack.pop().number))); break;
      case Op.floor: stack.push(number(Math.floor(stack.pop().number))); break;
      case Op.sqrt: stack.push(number(Math.sqrt(stack.pop().number))); break;
      case Op.round: stack.push(number(Math.round(stack.pop().number))); break;
      case Op.sign: { const a = stack.pop().number; stack.push(number(a > 0 ? 1 : a < 0 ? -1 : 0)); break; }
      case Op.substr: { const n = stack.pop(), from = stack.pop(), s = stack.pop(); stack.push(str(s.text.substr(<i32>from.number - 1, <i32>n.number))); break; }
      case Op.instr: { const b = stack.pop(), a = stack.pop(); stack.push(number(<f64>(a.text.indexOf(b.text) + 1))); break; }
      case Op.replace: { const c = stack.pop(), b = stack.pop(), a = stack.pop(); stack.push(str(a.text.replaceAll(b.text, c.text))); break; }
      case Op.repeat: { const n = stack.pop(), a = stack.pop(); stack.push(str(a.text.repeat(<i32>n.number))); break; }
      case Op.min: { const b = stack.pop(), a = stack.pop(); stack.push(compare(a, b) < 0 ? a : b); break; }
      case Op.max: { const b = stack.pop(), a = stack.pop(); stack.push(compare(a, b) > 0 ? a : b); break; }
      case Op.jumpFalse: if (!truth(stack.pop())) at = operand; break;
      case Op.jump: at = operand; break;
      case Op.pop: stack.pop(); break;
      case Op.isNull: stack.push(bool_(!truth(stack.pop()))); break;
      default: return stack.pop();
    }
  }
  return stack.pop();
}

class Group {
  count: i32 = 0;
  sum: f64 = 0;
  constructor(public key: Value) {}
}

function compile(tokens: Token[], from: i32, table: Table): Parser {
  const parser = new Parser(tokens, table);
  parser.at = from;
  parser.expression();
  return parser;
}

/** select EXPR from t [where EXPR] [group by EXPR] [order by EXPR] [limit N]; `between a and b` on the index first. */
function select(sql: string, table: Table, low: f64 = -1, high: f64 = -1): string {
  const tokens = tokenize(sql);
  let parser = compile(tokens, 1, table);
  const output = parser.program;
  parser.accept("from");
  parser.at++;
  let where: Program | null = null, group: Program | null = null, order: Program | null = null;
  let limit = 1 << 30;
  if (parser.accept("where")) { parser = compile(tokens, parser.at, table); where = parser.program; }
  if (parser.accept("group")) { parser = compile(tokens, parser.at + 1, table); group = parser.program; }
  if (parser.accept("order")) { parser = compile(tokens, parser.at + 1, table); order = parser.program; }
  if (parser.accept("limit")) limit = <i32>parser.token.value;
  const candidates: i32[] = [];
  const index = table.index;
  if (low >= 0 && index !== null) index.collect(index.root, low, high, candidates);
  else for (let i = 0; i < table.rows.length; i++) candidates.push(i);
  const found: Value[][] = [];
  const groups = new Map<string, Group>();
  for (let i = 0; i < candidates.length; i++) {
    const row = table.rows[candidates[i]];
    if (where !== null && !truth(evaluate(where, row))) continue;
    const value = evaluate(output, row);
    if (group !== null) {
      const key = evaluate(group, row);
      const name = key.show();
      if (!groups.has(name)) groups.set(name, new Group(key));
      const entry = groups.get(name);
      entry.count++;
      entry.sum += value.number;
    } else found.push([order !== null ? evaluate(order, row) : value, value]);
  }
  if (group !== null) {
    const all = groups.values();
    for (let i = 0; i < all.length; i++) found.push([all[i].key, number(all[i].sum / all[i].count)]);
  }
  if (order !== null || group !== null) found.sort((a, b) => compare(a[0], b[0]));
  let sum: u32 = 2166136261;
  const shown = min(limit, found.length);
  for (let i = 0; i < shown; i++) {
    const text = found[i][1].show();
    for (let j = 0; j < text.length; j++) sum = (sum ^ text.charCodeAt(j)) * 16777619;
  }
  return found.length.toString() + " rows, sum " + sum.toString();
}

export function _start(): void {
  const table = new Table("t");
  table.columns = ["id", "name", "price", "stock"];
  table.indexed = 2;
  const index = new Tree();
  table.index = index;
  const kinds = ["chair", "table", "lamp", "shelf", "carpet", "mirror", "door"];
  let seed: u32 = 7;
  for (let i = 0; i < 2500; i++) {
    seed = seed * 1664525 + 1013904223;
    const price = <f64>(seed >> 16) / 16;
    table.rows.push([number(i), str(kinds[(seed >> 8) % 7] + " " + (i % 113).toString()), number(price), number((seed >> 5) % 50)]);
    index.insert(price, i);
  }
  const queries = [
    "select price * stock from t where stock > 10 and name like '%a%' order by price - id limit 500",
    "select upper(name) from t where length(name) >= 8 and not (stock = 3 or stock = 7) order by name",
    "select price + stock / 2 from t where id % 3 = 1 group by substr(name, 1, 3)",
    "select case when stock < 25 then floor(sqrt(price)) else -abs(price - 1000) end from t where name <> 'lamp 5' order by stock * 1000 + id % 1000",
    "select replace(name, 'a', 'oo') || '-' || id from t where instr(name, 'r') > 2 and greatest(stock, 20) = 20 order by length(name)",
    "select least(price, stock * 100) from t where name like '%e%r%' or name like 'l_mp%' group by stock % 10",
  ];
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < queries.length; i++) {
      const result = select(queries[i], table);
      if (round == 0) print(result);
    }
    for (let i = 0; i < 200; i++) {
      const result = select("select name from t where stock >= 5 order by id", table, <f64>(i * 17), <f64>(i * 17 + 60));
      if (round == 0 && i % 50 == 0) print(result);
    }
  }
}
