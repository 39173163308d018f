-- SPDX-License-Identifier: MIT
--
-- Writes what is generated from the schema: docs/reference.md and the annotations of the config and of routes. Run by
-- `./dev docs` from the root of the repository; spec/reference_spec.lua compares the files with what it would write.

local schema = require "moongate.schema"

local kinds = require "scripts.reference.kinds"
local annotations = require "scripts.reference.annotations"
local page = require "scripts.reference.page"

for path, text in pairs {
  ["docs/reference.md"] = page.write(schema),
  ["lua/moongate/_meta/config.lua"] = annotations.config(schema),
  ["lua/moongate/_meta/route.lua"] = annotations.route(schema),
} do
  local file = io.open(path)
  local before = file and file:read "*a"
  if file then
    file:close()
  end
  if before ~= text then
    file = assert(io.open(path, "w"))
    assert(file:write(text))
    assert(file:close())
    print("wrote " .. path)
  end
end

for name in pairs(kinds.unknown) do
  io.stderr:write(("scripts/reference/kinds.lua has no words for the schema's type %q: add some\n"):format(name))
end
