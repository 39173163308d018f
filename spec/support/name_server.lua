-- SPDX-License-Identifier: MIT
--
-- A DNS server on loopback (UDP) for specs, as a process of its own: `luajit name_server.lua DIRECTORY`. It answers by
-- the table that DIRECTORY/zone.lua returns, which is read for each question: by name, { a = { "192.0.2.1", … },
-- the table that DIRECTORY/zone.lua returns, read for each question: by name, { a = { "192.0.2.1", … },
-- names. It appends each question to DIRECTORY/questions.

local socket = require "socket"

local directory = arg[1]
local server = assert(socket.udp())
assert(server:setsockname("127.0.0.1", 0))
local _, port = server:getsockname()
io.stdout:write(port, "\n")
io.stdout:flush()

local TYPES = { [1] = "a", [28] = "aaaa" }

local function two(n)
  return string.char(math.floor(n / 256) % 256, n % 256)
end

local function data_of(kind, address)
  if kind == "a" then
    return (address:gsub("(%d+)%.?", function(byte)
      return string.char(byte)
    end))
  end
  local bytes = {}
  for i, n in ipairs(address) do
    bytes[i] = two(n)
  end
  return table.concat(bytes)
end

local function question_of(message)
  local labels, at = {}, 13
  while message:byte(at) > 0 do
    labels[#labels + 1] = message:sub(at + 1, at + message:byte(at)):lower()
    at = at + 1 + message:byte(at)
  end
  return table.concat(labels, "."), TYPES[message:byte(at + 1) * 256 + message:byte(at + 2)], at + 4
end

while true do
  local message, host, from = server:receivefrom()
  if message and #message > 12 then
    local name, kind, last = question_of(message)
    local zone = dofile(directory .. "/zone.lua")
    local entry = zone.every or zone[name] or { code = 3 }
    local log = io.open(directory .. "/questions", "a")
    log:write(name, " ", tostring(kind), "\n")
    log:close()
    if not entry.silent or (entry.silent == "aaaa" and kind == "a") then
      local records = {}
      for i, address in ipairs(kind and entry[kind] or {}) do
        local data = data_of(kind, address)
        local class = (kind == "a" and "\0\1" or "\0\28") .. "\0\1"
        records[i] = "\192\12" .. class .. "\0\0" .. two(entry.ttl or 60) .. two(#data) .. data
      end
      local flags = "\129" .. string.char(128 + (entry.code or 0))
      local head = message:sub(1, 2) .. flags .. "\0\1" .. two(#records) .. "\0\0\0\0"
      server:sendto(head .. message:sub(13, last) .. table.concat(records), host, from)
    end
  end
end
