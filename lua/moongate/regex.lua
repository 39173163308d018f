-- SPDX-License-Identifier: MIT
--
-- moongate.regex(pattern, flags): Perl's regular expressions, as objects with methods after those of Lua's strings.
-- Compiling and matching are C (bind_regex.c). A function that replaces may wait, since it is called from here.

local pcre = require("moongate.pcre")

local error, type, select, tostring = error, type, select, tostring
local setmetatable = setmetatable
local compile, exec, names_of = pcre.compile, pcre.exec, pcre.names
local concat, format, sub, gsub, find = table.concat, string.format, string.sub, string.gsub, string.find
local pairs, tonumber = pairs, tonumber

local MOST_CACHED = 200

local Regex = {}
local metatable = { __index = Regex, __metatable = "moongate.regex" }

-- What belongs to an object, out of its users' reach.
local codes = setmetatable({}, { __mode = "k" })

local function code_of(self, method, subject)
  local own = codes[self]
  if not own then
    error(format("bad argument self to 'regex:%s' (a regex expected, got %s): is it called with a colon?", method,
      type(self)), 3)
  end
  if type(subject) ~= "string" then
    if type(subject) ~= "number" then
      error(format("bad argument #1 to 'regex:%s' (string expected, got %s)", method, type(subject)), 3)
    end
    subject = tostring(subject)
  end
  return own, subject
end

-- Where string.find would begin, from 0.
local function offset_of(method, init, subject)
  if init == nil then
    return 0
  elseif type(init) ~= "number" then
    error(format("bad argument #2 to 'regex:%s' (number expected, got %s)", method, type(init)), 3)
  elseif init < 0 then
    init = #subject + init + 1
  end
  return init < 1 and 0 or init - 1
end

-- string.match's results from those of exec.
local function matched(subject, first, last, ...)
  if not first then
    return nil, last
  elseif select("#", ...) == 0 then
    return sub(subject, first, last)
  end
  return ...
end

---Whether it matches: false, or nil and why it can't be told.
function Regex:test(subject, init)
  local own, text = code_of(self, "test", subject)
  local first, err = exec(own.code, text, offset_of("test", init, text))
  if first == nil and err then
    return nil, err
  end
  return first ~= nil
end

---Its captures, or the whole match where it has none; nil.
function Regex:match(subject, init)
  local own, text = code_of(self, "match", subject)
  return matched(text, exec(own.code, text, offset_of("match", init, text)))
end

---Where the match begins and ends, then its captures; nil.
function Regex:find(subject, init)
  local own, text = code_of(self, "find", subject)
  local function found(first, ...)
    if not first then
      return nil, (...)
    end
    return first, ...
  end
  return found(exec(own.code, text, offset_of("find", init, text)))
end

local function capture_table(own, subject, first, last, ...)
  if not first then
    return nil, last
  end
  local captures = { [0] = sub(subject, first, last), ... }
  for name, number in pairs(own.names) do
    if captures[name] == nil then -- of two of one name the one that took part
      captures[name] = captures[number]
    end
  end
  return captures
end

---The match as a table: [0] the whole, then the captures by number and by name; nil.
function Regex:captures(subject, init)
  local own, text = code_of(self, "captures", subject)
  return capture_table(own, text, exec(own.code, text, offset_of("captures", init, text)))
end

-- From `position` (from 0) on: what exec returns.
local function next_match(own, subject, position, previous_end)
  -- An empty match where the last one ended is none.
  return exec(own.code, subject, position, position == previous_end)
end

---Over all matches, as string.gmatch.
function Regex:gmatch(subject)
  local own, text = code_of(self, "gmatch", subject)
  local position, previous_end = 0, -1
  local function step(first, last, ...)
    if first == nil then
      position = nil
      if last then
        error(format("regex:gmatch: %s", last), 3)
      end
      return nil
    end
    position, previous_end = last, last
    return matched(text, first, last, ...)
  end
  return function()
    if position then
      return step(next_match(own, text, position, previous_end))
    end
  end
end

-- "%0": the whole; "%1": a capture; "%%": "%".
local function fill(template, whole, captures)
  return (gsub(template, "%%(.)", function(sign)
    if sign == "0" then
      return whole
    elseif find(sign, "%d") then
      return captures[tonumber(sign)] or (sign == "1" and captures.count == 0 and whole) or ""
    end
    return sign
  end))
end

local function replacement(own, replace, whole, ...)
  local kind = type(replace)
  local value
  if kind == "string" then
    return find(replace, "%", 1, true) and fill(replace, whole, { count = own.count, ... }) or replace
  elseif kind == "table" then
    value = replace[own.count > 0 and (...) or whole]
  elseif own.count > 0 then
    value = replace(...)
  else
    value = replace(whole)
  end
  if not value then
    return whole
  elseif type(value) ~= "string" and type(value) ~= "number" then
    error(format("regex:gsub: the replacement is a %s, and no string", type(value)), 4)
  end
  return tostring(value)
end

---As string.gsub: the new text and how many were replaced; nil and why.
function Regex:gsub(subject, replace, most)
  local own, text = code_of(self, "gsub", subject)
  local kind = type(replace)
  if kind == "number" then
    replace = tostring(replace)
  elseif kind ~= "string" and kind ~= "table" and kind ~= "function" then
    error(format("bad argument #2 to 'regex:gsub' (string, table or function expected, got %s)", kind), 2)
  end
  local pieces, count, position, previous_end, failure = {}, 0, 0, -1, nil
  local function step(first, last, ...)
    if first == nil then
      failure = last
      return false
    end
    pieces[#pieces + 1] = sub(text, position + 1, first - 1)
    pieces[#pieces + 1] = replacement(own, replace, sub(text, first, last), ...)
    count, position, previous_end = count + 1, last, last
    return true
  end
  while (not most or count < most) and step(next_match(own, text, position, previous_end)) do
    -- the next one
  end
  if failure then
    return nil, failure
  end
  pieces[#pieces + 1] = sub(text, position + 1)
  return concat(pieces), count
end

metatable.__tostring = function(self)
  local own = codes[self]
  return own and format("regex: %s", own.pattern) or "regex"
end

local cache, cached = {}, 0

local function check(pattern, flags)
  if type(pattern) ~= "string" then
    error(format("bad argument #1 to 'moongate.regex' (string expected, got %s)", type(pattern)), 3)
  elseif flags ~= nil and (type(flags) ~= "string" or find(flags, "[^imsxua]")) then
    error("bad argument #2 to 'moongate.regex' (some of the letters i, m, s, x, u, a expected)", 3)
  end
end

---@param pattern string
---@param flags? string
return function(pattern, flags)
  check(pattern, flags)
  flags = flags or ""
  local key = flags .. "/" .. pattern
  local known = cache[key]
  if known then
    return known
  end
  local code, err = compile(pattern, flags)
  if not code then
    error(format("bad regex %q: %s", pattern, err), 2)
  end
  local names, count = names_of(code)
  local self = setmetatable({ pattern = pattern, flags = flags }, metatable) -- what routes are read by
  codes[self] = {
    code = code,
    pattern = pattern,
    names = names,
    count = count,
  }
  if cached >= MOST_CACHED then
    cache, cached = {}, 0
  end
  cache[key], cached = self, cached + 1
  return self
end
