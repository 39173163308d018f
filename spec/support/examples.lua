-- SPDX-License-Identifier: MIT
--
-- The files of examples/ as they stand there, on ports and addresses that are free here: what is replaced has to be in
-- the file, so that the spec runs what the user reads.

local process = require "spec.support.process"

local examples = {}

local MAX_LINES = 60

-- The text of examples/NAME.lua, with each of `changes` ({ text, instead }, in their order) replaced wherever it
-- stands.
function examples.text(name, changes)
  local text = process.read("examples/" .. name .. ".lua")
  local _, lines = text:gsub("\n", "")
  assert(lines < MAX_LINES, ("examples/%s.lua has %d lines"):format(name, lines))
  for _, change in ipairs(changes) do
    local pattern, instead = change[1]:gsub("%p", "%%%0"), tostring(change[2]):gsub("%%", "%%%%")
    local changed, count = text:gsub(pattern, instead)
    assert(count > 0, ("examples/%s.lua does not have %q"):format(name, change[1]))
    text = changed
  end
  return text
end

return examples
