-- SPDX-License-Identifier: MIT
--
-- Stands in for moongate.http_parser, which is C, where a spec runs outside of the runtime: the same interface for
-- requests that are in order. What is refused and why is tested in ctests/http/ and ctests/bindings/.

local Parser = {}
Parser.__index = Parser

local function parse_head(self, head)
  self.method, self.target, self.version = head:match "^(%S+) (%S+) HTTP/(%d%.%d)\r\n"
  if not self.method then
    return "error", 400, "the request line is broken"
  end
  self.headers = {}
  for name, value in head:gmatch "\r\n([^:\r\n]+): *([^\r\n]*)" do
    self.headers[#self.headers + 1] = { name = name, value = value }
    self.headers[name:lower()] = value
  end
  local connection = (self.headers.connection or ""):lower()
  self.keep_alive = connection == "keep-alive" or (self.version == "1.1" and connection ~= "close")
  self.expect_continue = self.headers.expect == "100-continue"
  self.length = tonumber(self.headers["content-length"] or 0)
  if self.length > (self.max_body or math.huge) then
    return "error", 413, "too large"
  end
  self.in_body = true
  return "head"
end

function Parser:feed(bytes)
  local before = #self.text
  self.text = self.text .. bytes
  if not self.in_body then
    local head_end = select(2, self.text:find("\r\n\r\n", 1, true))
    if not head_end then
      return #bytes, "more"
    end
    local head = self.text:sub(1, head_end)
    self.text = ""
    return head_end - before, parse_head(self, head)
  end
  if #self.text < self.length then
    return #bytes, "more"
  end
  self.body = self.text:sub(1, self.length)
  self.text, self.in_body = "", false
  return self.length - before, "complete"
end

function Parser:fields()
  local fields = {}
  local names = { "method", "target", "version", "headers", "keep_alive", "expect_continue", "length", "body" }
  for _, name in ipairs(names) do
    fields[name] = self[name]
  end
  return fields
end

function Parser:is_idle()
  return self.text == "" and not self.in_body
end

return {
  new = function(options)
    return setmetatable({ text = "", max_body = options.max_body }, Parser)
  end,
}
