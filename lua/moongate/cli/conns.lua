-- SPDX-License-Identifier: MIT
--
-- `moongate conns`: the connections that are there, oldest first, with filters; with --stuck those that get nowhere.

local asking = require("moongate.cli.asking")
local output = require("moongate.cli.output")
local tables = require("moongate.cli.table")
local which = require("moongate.cli.which")

local conns = { summary = "List the connections: oldest first, or only those that are stuck." }

local PATH, LIMIT = "/api/v1/connections", 1000
local QUERY = { unpack(which.FILTERS) }
for _, name in ipairs({ "sort", "limit", "offset" }) do
  QUERY[#QUERY + 1] = name
end

function conns.define(command)
  which.define(command)
  command:option("--sort", "age (default), idle, bytes or client."):argname("ORDER")
    :choices({ "age", "idle", "bytes", "client" })
  asking.define_page(command, LIMIT)
  command:flag("--json", "Print the answer of " .. PATH .. ".")
end

local CLASSES = { connecting = "connecting", half_dead = "half dead", silent = "silent", stuck = "stuck" }

---"half dead 42s", for one that may be in trouble.
local function class(row)
  return row.class and ("%s %s"):format(CLASSES[row.class.name] or row.class.name, tables.age(row.class.seconds))
end

local function route(row)
  return (row.route or "-") .. (row.version == "old" and " (old)" or "")
end

---"3h59m idle": when it will be ended if nothing moves, and why.
local function ends(row)
  return row.deadline and ("%s %s"):format(tables.left(row.deadline.seconds), row.deadline.reason)
end

local ID = { title = "ID", value = function(row) return row.id end }
local CLIENT = { title = "CLIENT", least = 9, value = function(row) return row.client_ip end }
local ROUTE = { title = "ROUTE", least = 6, value = route }
local STATE = { title = "STATE", value = function(row) return row.state end }
local TARGET = { title = "TARGET", least = 12, tail = true, value = function(row) return row.target end }
local AGE = { title = "AGE", right = true, value = function(row) return tables.age(row.age) end }
local IDLE = { title = "IDLE", right = true, value = function(row) return tables.age(row.idle) end }
local IN = { title = "IN", right = true, value = function(row) return tables.size(row.bytes_in) end }
local OUT = { title = "OUT", right = true, value = function(row) return tables.size(row.bytes_out) end }
local WHY = { title = "WHY", value = class }
local ENDS = { title = "ENDS IN", least = 8, value = ends }

local ALL = { ID, CLIENT, ROUTE, STATE, TARGET, AGE, IDLE, IN, OUT, ENDS }
local STUCK = { ID, CLIENT, ROUTE, TARGET, AGE, IN, OUT, WHY, ENDS }

---@param body table of the API's answer
---@param stuck boolean
---@param width? integer
---@return string
function conns.format(body, stuck, width)
  local lines = {}
  if #body.connections > 0 then
    lines[1] = tables.render(stuck and STUCK or ALL, body.connections, width)
  end
  if body.total == 0 then
    lines[1] = body.complete == false
      and ("none%s (%d open on the other workers)\n"):format(stuck and " known to be stuck" or " known", body.open)
      or ("none%s (%d open)\n"):format(stuck and " is stuck" or "", body.open)
  else
    lines[#lines + 1] = tables.rest(#body.connections, body.offset or 0, body.total, "connection")
  end
  if stuck and #body.connections > 0 then
    lines[#lines + 1] = ("`moongate explain %s` says more of the first\n"):format(body.connections[1].id)
  end
  return table.concat(lines)
end

function conns.run(options)
  options.limit = options.limit or LIMIT
  local body, raw = asking.get(options.control, asking.target(PATH, options, QUERY))
  if not body then
    return asking.fail(raw)
  end
  local unknown, status = asking.unknown(body, "its connections are missing")
  if options.json then
    asking.print_raw(raw)
  elseif body.total == 0 then -- that none is there is not said before what is not known
    output.write(unknown, conns.format(body, options.stuck))
  else
    output.write(conns.format(body, options.stuck), unknown)
  end
  return status
end

return conns
