-- SPDX-License-Identifier: MIT
--
-- `moongate status`: an overview of the running moongate.

local check = require("moongate.cli.check")
local control = require("moongate.control")
local text = require("moongate.text")

local status = { summary = "Show what the running moongate does." }

local PATH = "/api/v1/status"

function status.define(command)
  command:flag("--json", "Print the answer of " .. PATH .. ".")
end

-- Label and text of each line; what the answer doesn't have is left out.
local function overview(body)
  local connections, bytes = body.connections or {}, body.bytes or {}
  local lines = {}
  local function add(label, value)
    if value ~= nil then
      lines[#lines + 1] = { label, tostring(value) }
    end
  end
  add("version", body.version)
  add("uptime", type(body.uptime) == "number" and text.format_duration(body.uptime) or nil)
  add("state", body.draining and "draining" or body.ready == false and "not ready" or nil)
  add("workers", body.workers)
  add("generation", body.generation)
  if connections.active then
    add("connections", ("%d open, %d in all"):format(connections.active, connections.total or connections.active))
  end
  if bytes["in"] and bytes.out then
    add("bytes", ("%s in, %s out"):format(text.format_bytes(bytes["in"]), text.format_bytes(bytes.out)))
  end
  add("routes", type(body.routes) == "table" and #body.routes or body.routes)
  add("files", type(body.files) == "table" and #body.files or nil)
  return lines
end

---The overview as text: aligned, and the faults of files below.
---@param body table of the API's answer
---@return string
function status.format(body)
  local lines, width = overview(body), 0
  for _, line in ipairs(lines) do
    width = math.max(width, #line[1])
  end
  for i, line in ipairs(lines) do
    lines[i] = ("%-" .. width .. "s  %s"):format(line[1], line[2])
  end
  for _, file in ipairs(type(body.files) == "table" and body.files or {}) do
    for _, fault in ipairs(file.faults or {}) do
      lines[#lines + 1] = "fault: " .. check.format(fault)
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

function status.run(options)
  local code, body, raw = control.get(options.control, PATH)
  if not code then
    io.stderr:write("moongate: ", body, "\n")
    return 1
  elseif code ~= 200 or type(body) ~= "table" then
    io.stderr:write(("moongate: %s answered with status %d\n"):format(PATH, code))
    return 1
  end
  io.stdout:write(options.json and (raw:gsub("\n*$", "\n", 1)) or status.format(body))
  return 0
end

return status
