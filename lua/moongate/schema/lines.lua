-- SPDX-License-Identifier: MIT
--
-- On which line of a file a field stands. What a file returned has no lines: so its source is read once more, as far
-- as it is literal: the table that is returned, tables in it, and locals of the file that stand there by their name and
-- are touched nowhere else. What is made by code has the line of the expression that made it; where that isn't sure
-- either, the line of what encloses it.

local Lexer = require("moongate.schema.lexer")

-- A node is the value of a field or what is returned: { line =, fields = { [key] = { line =, value = node } }, count =,
-- dynamic = (there are keys that are not literal) }; { line =, name = } for a local; else { line = }.

---@class moongate.Lines
---@field returns table[] { line =, value = node }
---@field locals table<string, table> declarations of the file: { value = node, count = }
---@field seen table<string, integer> how often a name stands in the file
---@field used table<string, integer> how often it stands where it is only read, by what was understood
local Lines = {}
Lines.__index = Lines

local OPENS = { ["function"] = true, ["do"] = true, ["if"] = true, ["repeat"] = true }
local CLOSES = { ["end"] = true, ["until"] = true }
local BRACKETS = { ["("] = 1, ["["] = 1, ["{"] = 1, [")"] = -1, ["]"] = -1, ["}"] = -1 }
local ITEM_ENDS = { [","] = true, [";"] = true, ["}"] = true }
local BREATHE_TOKENS = 256
local NO_LOCALS = { ["nil"] = true, ["true"] = true, ["false"] = true }
local GOES_ON = { ["and"] = true, ["or"] = true }

local function is(token, value)
  return token.value == value and (token.kind == "operator" or token.kind == "name")
end

-- Makes what came next the present token. There are two of them, filled in turns: what is needed of one has to be kept.
local function advance(self)
  local before, token = self.token, self.ahead
  if token.kind == "name" and not (before and (is(before, ".") or is(before, ":"))) then
    self.seen[token.value] = (self.seen[token.value] or 0) + 1
  end
  self.token = token
  self.ahead = self.lexer:next(before)
  self.read = self.read + 1
  if self.breathe and self.read % BREATHE_TOKENS == 0 then
    self.breathe()
  end
end

local function ends_item(token)
  return token.kind == "end" or (token.kind == "operator" and ITEM_ENDS[token.value] or false)
end

-- From the word `function` to behind its `end`.
local function skip_function(self)
  local depth = 0
  repeat
    if self.token.kind == "name" then
      depth = depth + (OPENS[self.token.value] and 1 or CLOSES[self.token.value] and -1 or 0)
    end
    advance(self)
  until depth == 0 or self.token.kind == "end"
end

-- To the end of an item of a table.
local function skip_expression(self)
  local depth = 0
  while self.token.kind ~= "end" and not (depth == 0 and ends_item(self.token)) do
    if is(self.token, "function") then
      skip_function(self)
    else
      depth = depth + (self.token.kind == "operator" and BRACKETS[self.token.value] or 0)
      advance(self)
    end
  end
end

local constructor

local function item_value(self)
  local token, line, name = self.token, self.token.line, self.token.value
  if is(token, "{") then
    local node = constructor(self)
    if ends_item(self.token) then
      return node
    end
  elseif token.kind == "name" and not NO_LOCALS[name] and ends_item(self.ahead) then
    self.used[name] = (self.used[name] or 0) + 1
    advance(self)
    return { line = line, name = name }
  end
  skip_expression(self)
  return { line = line }
end

-- The key in brackets, from behind the opening one to behind the "="; nil when it is not literal.
local function bracket_key(self)
  local token, literal = self.token, nil
  if (token.kind == "string" or token.kind == "number") and is(self.ahead, "]") then
    literal = token.value
    advance(self)
  else
    local depth = 0
    while self.token.kind ~= "end" and not (depth == 0 and is(self.token, "]")) do
      if is(self.token, "function") then
        skip_function(self)
      else
        depth = depth + (self.token.kind == "operator" and BRACKETS[self.token.value] or 0)
        advance(self)
      end
    end
  end
  advance(self)
  advance(self)
  return literal
end

-- A table, from its "{" to behind its "}".
function constructor(self)
  local node = { line = self.token.line, fields = {}, count = 0 }
  advance(self)
  while self.token.kind ~= "end" and not is(self.token, "}") do
    local line, key = self.token.line, self.token.value
    if is(self.token, "[") then
      advance(self)
      key = bracket_key(self)
      node.dynamic = node.dynamic or key == nil
    elseif self.token.kind == "name" and is(self.ahead, "=") then
      self.seen[key] = self.seen[key] - 1
      advance(self)
      advance(self)
    else
      node.count = node.count + 1
      key = node.count
    end
    local field = { line = line, value = item_value(self) }
    if key ~= nil then
      node.fields[key] = field
    end
    if self.token.kind == "operator" and (is(self.token, ",") or is(self.token, ";")) then
      advance(self)
    end
  end
  advance(self)
  return node
end

-- Whether what was read before this token was a whole expression.
local function ends_expression(token)
  return token.kind == "end" or token.kind == "name" and not GOES_ON[token.value] or is(token, ";") or is(token, ",")
end

local function read_local(self)
  advance(self)
  local name = self.token.value
  if self.token.kind ~= "name" or not is(self.ahead, "=") then
    return
  end
  advance(self)
  advance(self)
  local known = self.locals[name]
  if is(self.token, "{") then
    local node = constructor(self)
    local fine = not known and (ends_expression(self.token) or is(self.token, "("))
    self.locals[name] = { value = fine and node or nil }
  end
end

local function read_return(self)
  local returned = { line = self.token.line }
  returned.value = { line = returned.line }
  advance(self)
  local token = self.token
  if is(token, "{") then
    local node = constructor(self)
    if ends_expression(self.token) then
      returned.value = node
    end
  elseif token.kind == "name" and ends_expression(self.ahead) and not NO_LOCALS[token.value] then
    self.used[token.value] = (self.used[token.value] or 0) + 1
    returned.value = { line = returned.line, name = token.value }
  end
  self.returns[#self.returns + 1] = returned
end

local function read_chunk(self)
  local depth = 0
  while self.token.kind ~= "end" do
    local token = self.token
    local word = token.kind == "name" and token.value or nil
    if word == "function" then
      skip_function(self)
    elseif word == "return" then
      read_return(self)
    elseif word == "local" and depth == 0 then
      read_local(self)
    else
      depth = depth + (OPENS[word] and 1 or CLOSES[word] and -1 or 0)
      advance(self)
    end
  end
end

---@param source string
---@param breathe fun()|nil called often: the thread gives way to others
---@return moongate.Lines
function Lines.new(source, breathe)
  local self = setmetatable({ returns = {}, locals = {}, seen = {}, used = {}, read = 0 }, Lines)
  self.lexer, self.breathe = Lexer.new(source), breathe
  self.ahead = self.lexer:next()
  advance(self)
  read_chunk(self)
  self.lexer, self.token, self.ahead, self.breathe = nil, nil, nil, nil
  return self
end

-- The table that a node is or names; nil when it isn't sure what it is. The second value: whether it is named.
local function table_of(self, node)
  local named = false
  for _ = 1, 16 do
    if not node or not node.name then
      break
    end
    local declared, name = self.locals[node.name], node.name
    node = declared and self.seen[name] == 1 + self.used[name] and declared.value or nil
    named = true
  end
  return node and node.fields and node or nil, named
end

-- The line of `path` in what is returned there, and how many of its keys were found.
local function find(self, returned, path)
  local node, named = table_of(self, returned.value)
  local line = node and node.line or returned.line
  for depth, key in ipairs(path) do
    if not node or node.dynamic then
      return line, depth - 1
    elseif named then
      line = node.line
    end
    local field, last = node.fields[key], node.fields[node.count]
    if not field then
      -- A call that stands last may have made several.
      local made = type(key) == "number" and key > node.count and last and not last.value.fields and not last.value.name
      return made and last.line or line, depth - 1
    end
    line = field.line
    node, named = table_of(self, field.value)
    if named and node and type(key) == "number" then
      line = node.line
    end
  end
  return line, #path
end

---The line of the field at `path` ({ 1, "match", "ports" }), or of the nearest of what encloses it; 0 when the file
---returns in several places, and it isn't sure in which.
---@param path (string|number)[]
---@return integer
function Lines:find(path)
  local best, best_depth = 0, -1
  for _, returned in ipairs(self.returns) do
    local line, depth = find(self, returned, path)
    if depth > best_depth then
      best, best_depth = line, depth
    elseif depth == best_depth then
      best = 0
    end
  end
  return best
end

return Lines
