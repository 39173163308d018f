-- SPDX-License-Identifier: MIT
--
-- Writes the tables of runtime/routing/option.h from the schema: where each option stands in a normal form, and where
-- in C. What kind it is there the compiler says by the type of its field: an option without one does not compile.
--
-- options.lua LUA_DIRECTORY OUTPUT

local directory, output = ...
package.path = directory .. "/?.lua"

local schema = require("moongate.schema")

-- By the record in C: rows as text.
local tables = { config = {}, policy = {}, route = {} }
local words_of, word_lists = {}, {}

local function fail(path, message)
  error(("lua/moongate/schema.lua: %s: %s"):format(table.concat(path, "."), message), 0)
end

-- The name of an array of these words.
local function words_name(words)
  local text = '"' .. table.concat(words, '", "') .. '"'
  if not words_of[text] then
    words_of[text] = ("words_%d"):format(#word_lists + 1)
    word_lists[#word_lists + 1] = ("static const char *const %s[] = {%s, NULL};\n"):format(words_of[text], text)
  end
  return words_of[text]
end

-- By the C enum; what a later version takes, which the schema refuses until then, stands behind.
local function words_of_option(descriptor)
  if descriptor.normal_words or not descriptor.enum then
    return descriptor.normal_words
  end
  local words = { unpack(descriptor.enum) }
  for _, word in ipairs(descriptor.enum_later or {}) do
    words[#words + 1] = word
  end
  return words
end

-- The types of options that are told as they are.
local TOLD = {
  account = true, boolean = true, count_in_window = true, duration = true, duration_pair = true, integer = true,
  listen = true, proxy_accept = true, size = true, string = true, switch = true,
}
local SLOTS = { ["function"] = true, handler = true }
local ROW = '    {"%s", {"%s", NULL}, %s(%s, %s), OPTION_PLACE(%s, %s), %s, %s, %s, %s, %s, %s},\n'

-- `waits`: { subject =, whole = } of what the note at a reload says, nil: a reload takes it.
local function add_row(root, path, place, descriptor, waits)
  local record, field = root, place
  if root == "config" and place:match("^policy%.") then
    record, field = "policy", place:match("^policy%.(.+)$")
  end
  local words = words_of_option(descriptor)
  local kind = SLOTS[descriptor.type] and "OPTION_SLOT_KIND" or words and "OPTION_WORD_KIND" or "OPTION_KIND"
  local is_compared = record == "policy" or (root == "config" and not waits and not descriptor.apart)
  tables[record][#tables[record] + 1] = ROW:format(
    table.concat(path, "."),
    table.concat(path, '", "'),
    kind,
    record,
    field,
    record,
    field,
    words and words_name(words) or "NULL",
    waits and ('"%s"'):format(waits.subject) or "NULL",
    waits and waits.whole and "true" or "false",
    is_compared and "true" or "false",
    descriptor.type:match("^duration") and "true" or "false",
    TOLD[descriptor.type] and not descriptor.secret and not descriptor.derived and "true" or "false"
  )
end

local function sorted_names(fields)
  local names = {}
  for name in pairs(fields) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

local function child(path, name)
  local longer = { unpack(path) }
  longer[#longer + 1] = name
  if #longer > 3 then
    fail(longer, "lies deeper than an option may (OPTION_DEPTH)")
  end
  return longer
end

local add_fields

local function add_option(root, path, place, descriptor, inherited)
  local waits = inherited.waits
  if descriptor.next_start then
    waits = { subject = table.concat(path, "."), whole = descriptor.fields ~= nil or descriptor.next_start == "whole" }
  end
  if descriptor.later or descriptor.type == "unsupported" or descriptor.c == false then
    return
  elseif descriptor.type == "table" then
    add_fields(root, path, place, descriptor.fields, { waits = waits, apart = inherited.apart or descriptor.apart })
  elseif descriptor.type == "duration_pair" then
    add_row(root, child(path, "plain"), place, descriptor, waits)
    add_row(root, child(path, "tls"), place .. "_tls", descriptor, waits)
  else
    local apart = inherited.apart or descriptor.apart
    local row = setmetatable({ apart = apart, derived = inherited.derived }, { __index = descriptor })
    add_row(root, path, place, row, waits)
  end
end

function add_fields(root, path, prefix, fields, inherited)
  for _, name in ipairs(sorted_names(fields)) do
    local descriptor = fields[name]
    local place = descriptor.c or (prefix and prefix .. "." .. name or name)
    add_option(root, child(path, name), place, descriptor, inherited)
  end
end

add_fields("config", {}, nil, schema.config.fields, {})
add_fields("config", {}, nil, schema.config.derived, { derived = true })
add_fields("route", {}, nil, schema.route.fields, {})
add_fields("route", { "action" }, nil, schema.route.fields.action.derived, { derived = true })

local file = assert(io.open(output, "w"))
file:write(
  "/* Generated from lua/moongate/schema.lua by cmake/options.lua. */\n",
  '#include "loading/load.h"\n#include "routing/option.h"\n#include "routing/policy.h"\n#include "routing/route.h"\n\n',
  table.concat(word_lists)
)
for _, record in ipairs({ "config", "policy", "route" }) do
  local rows = tables[record]
  file:write(("\nstatic const struct option %s_rows[] = {\n%s};\n"):format(record, table.concat(rows)))
  file:write(("\nconst struct options %s_options = {%s_rows, %d};\n"):format(record, record, #rows))
end
file:close()
