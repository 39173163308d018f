-- SPDX-License-Identifier: MIT
--
-- JSON as the API speaks it: counters to the last digit, empty lists that stay lists, keys in a stable order. Reading
-- it is lua-cjson's.

local unicode = require "moongate.unicode"

local json = {}

local DEEPEST = 64
local LIST = {}

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

--- Marks a table as a list, so that it is one when it is empty too. Returns it.
function json.list(values)
  return setmetatable(values or {}, LIST)
end

local function escape(character)
  return ESCAPES[character] or ("\\u%04x"):format(unicode.code_point(character))
end

-- It may be read on a terminal, too.
local function encode_string(text)
  return '"' .. unicode.without_controls(text, escape, '[%c"\\\127]') .. '"'
end

local function encode_number(number)
  if number ~= number or number == math.huge or number == -math.huge then
    return "null"
  elseif number % 1 == 0 and math.abs(number) < 2 ^ 63 then
    return ("%.0f"):format(number)
  end
  return ("%.15g"):format(number)
end

local encode

local function encode_list(values, depth)
  local parts = {}
  for index = 1, #values do
    parts[index] = encode(values[index], depth + 1)
  end
  return "[" .. table.concat(parts, ",") .. "]"
end

local function encode_object(values, depth)
  local keys, parts = {}, {}
  for key in pairs(values) do
    if type(key) ~= "string" then
      error("json: a key of an object is " .. type(key) .. ", not a string", 0)
    end
    keys[#keys + 1] = key
  end
  table.sort(keys)
  for index, key in ipairs(keys) do
    parts[index] = encode_string(key) .. ":" .. encode(values[key], depth + 1)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

function encode(value, depth)
  local kind = type(value)
  if kind == "string" then
    return encode_string(value)
  elseif kind == "number" then
    return encode_number(value)
  elseif kind == "boolean" then
    return tostring(value)
  elseif kind == "nil" then
    return "null"
  elseif kind == "table" and (getmetatable(value) or LIST).is_counter then
    return tostring(value) -- beyond what a number holds: native says its digits
  elseif kind ~= "table" then
    error("json: there is no JSON for a " .. kind, 0)
  elseif depth > DEEPEST then
    error("json: nested too deeply", 0)
  end
  local is_list = getmetatable(value) == LIST or value[1] ~= nil
  return (is_list and encode_list or encode_object)(value, depth)
end

--- Raises for what has no JSON: functions, tables with keys of other kinds.
function json.encode(value)
  return encode(value, 0)
end

--- The value, or nil and what is wrong with the text. null reads as cjson.null.
function json.decode(text)
  local fine, value = pcall(require("cjson").decode, text)
  if not fine then
    return nil, value
  end
  return value
end

return json
