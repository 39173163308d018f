-- SPDX-License-Identifier: MIT
--
-- Descriptors that the schema makes again and again. `more`: further attributes.

local declare = { ADDRESSES = 1000000 } -- IP_SET_MAX of net/ip_set.h

local function with(descriptor, more)
  for name, value in pairs(more or {}) do
    descriptor[name] = value
  end
  return descriptor
end

function declare.later(how, fields)
  for _, descriptor in pairs(fields) do
    descriptor.later = how
    if descriptor.fields then
      declare.later(how, descriptor.fields)
    end
  end
  return fields
end

function declare.duration(default, doc, more)
  return with({ type = "duration", default = default, doc = doc }, more)
end

function declare.unsupported(doc, instead)
  return { type = "unsupported", doc = doc, instead = instead }
end

function declare.strings(default, doc, more)
  return with({ type = "list", of = { type = "string" }, default = default, doc = doc }, more)
end

function declare.addresses(doc, more)
  local trusted = more and more.trusted
  local of = { type = "ip_pattern", trusted = trusted }
  return with({ type = "list", of = of, most = declare.ADDRESSES, default = {}, doc = doc }, more)
end

function declare.timeouts()
  local duration = declare.duration
  return {
    connect = duration("30s", "For a target to accept, its name's lookup included"),
    initial_data = duration("60s", "For a client's first byte, where a route can't be chosen or served without it"),
    idle = duration("4h", "Without a byte in either direction"),
    lifetime = duration("24h", "Of a connection, whatever it does"),
    half_closed = duration("30m", "After one side has ended, with half_open"),
    linger = duration("5s", "For a closing client to take what was sent, without progress"),
    shutdown = duration("30s", "For connections to finish when moongate stops"),
    half_dead = {
      type = "duration_pair",
      default = { "30s", tls = "5m" },
      doc = "One side has ended, and no byte moves",
    },
    stuck = {
      type = "duration_pair",
      default = { "60s", tls = "5m" },
      doc = "The client has sent bytes that the target has never answered, and none has moved since",
    },
  }
end

return declare
