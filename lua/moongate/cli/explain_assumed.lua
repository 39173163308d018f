-- SPDX-License-Identifier: MIT
--
-- What a question to `moongate explain` did not say, what it was taken as, and how to ask for the other: said before
-- the outcome, which is one of what was taken.

-- An address as it stands before a port.
local function bracketed(address)
  return address:find(":", 1, true) and "[" .. address .. "]" or address
end

-- Whether it speaks TLS, where the port takes either.
local function tls(body, question)
  local host = bracketed(body.domain or question.address or "NAME")
  if not body.tls_assumed then
    return body.tls and "Taken as TLS, because of --tls-version." or nil
  elseif body.tls then
    return ("Not said: whether it speaks TLS; taken as TLS, as it names a domain (ask http://%s:%d for plain)."):format(
      host, body.port)
  end
  return ("Not said: whether it speaks TLS; taken as plain (ask https://%s:%d for TLS)."):format(host, body.port)
end

local SHOWN_DOMAINS = 3

-- Which domain it asks for, and which there are.
local function domain(body)
  local domains, quoted = {}, {}
  for _, row in ipairs(body.candidates) do
    for _, name in ipairs(row.match and row.match.domains or {}) do
      domains[#domains + 1] = name
      quoted[#quoted + 1] = #quoted < SHOWN_DOMAINS and ('"%s"'):format(name) or nil
    end
  end
  if #domains == 0 then
    return nil
  end
  local more = #domains > #quoted and (" and %d more"):format(#domains - #quoted) or ""
  local form = "You named no domain, so this is for a client that sends no server name (SNI). "
    .. "There are routes for %s%s (ask https://%s:%d)."
  return form:format(table.concat(quoted, ", "), more, (domains[1]:gsub("%*", "www")), body.port)
end

-- Which address it comes in on, where some have routes of their own.
local function address(body, question)
  local others = body.other_addresses
  local list = table.concat(others, ", ")
  local taken = body.address and ("%s; %s %s"):format(body.address, list, #others > 1 and "have" or "has")
    or ("any but %s, which %s"):format(list, #others > 1 and "have" or "has")
  return ("Not said: the address that it comes in on; taken as %s routes of %s own (ask %s:%d%s)."):format(
    taken,
    #others > 1 and "their" or "its",
    bracketed(others[1]),
    body.port,
    question.domain and " --domain " .. question.domain or ""
  )
end

---@param body table of the API's answer
---@param question table what was asked
---@return string[] sentences
return function(body, question)
  local said = {}
  if question.is_there then
    return said
  end
  if body.takes == "both" and question.tls == nil then
    said[#said + 1] = tls(body, question)
  end
  if body.tls and body.takes ~= "plain" and not (body.domain or question.address) then
    said[#said + 1] = domain(body)
  end
  if body.other_addresses and not question.address then
    said[#said + 1] = address(body, question)
  end
  return said
end
