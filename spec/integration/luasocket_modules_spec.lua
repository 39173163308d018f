-- SPDX-License-Identifier: MIT
--
-- mime, ltn12, socket.url and socket.headers in a handler: the answers of Debian's LuaSocket, to random texts in random
-- pieces through random chains; and what the RFCs have otherwise.

local moongate = require "spec.support.moongate"
local pair = require "spec.support.luasocket_pair"

describe("LuaSocket's modules", function()
  local both
  setup(function()
    both = pair.start()
  end)
  teardown(moongate.finish)

  local function assert_same(program)
    both:assert_same(program, pair.seed())
  end

  -- What a program tells when it runs in the handler alone.
  local function tell(program)
    local _, ours = both:run(program)
    return table.concat(ours, "\n")
  end

  -- `random(n)`, and a text of up to n bytes of a kind.
  local RANDOM = [[
    local told, seed = ...
    local emit, attempt = told.emit, told.attempt
    local state = tonumber(seed or 1) % 2147483647
    local function random(n)
      state = state * 16807 % 2147483647
      return state % n + 1
    end
    local kinds = {
      { "a", "b", " ", "\t", "=", "\r\n", "\r\n", ".", "3D", "\r", "\n" },
      { "lorem ", "ipsum=", " \r\n", "\t\r\n", "\r\n.\r\n", ".", "ü", "\0", "\127", "x" },
      { "QUJD", "QQ==", "=", "A", "+/", "\r\n", "*", "z" },
    }
    local function text(kind, n)
      local parts = {}
      for i = 1, random(n) do
        local k = kinds[kind or random(#kinds)]
        parts[i] = kind and k[random(#k)] or random(3) == 1 and string.char(random(256) - 1) or k[random(#k)]
      end
      return table.concat(parts)
    end
  ]]

  it("encode and decode as LuaSocket's, in one shot and in pieces", function()
    assert_same(RANDOM .. [[
      local mime = require "mime"
      emit(mime._VERSION)
      for round = 1, 1500 do
        local name = ({ "b64", "unb64", "qp", "wrp", "qpwrp", "eol", "dot" })[random(7)]
        local low, whole = mime[name], text(nil, 60)
        if name == "unb64" then -- '=' where it may stand
          whole = mime.b64(whole):gsub("%w%w", function(two) return random(6) == 1 and two .. "\r\n" or two end)
        end
        local extra = ({ wrp = random(40), qpwrp = random(40) + 3, qp = random(3) == 1 and "=0D=0A" or nil })[name]
        local left = ({ wrp = extra, qpwrp = extra, eol = 0, dot = 2 })[name] or ""
        if type(left) == "string" then attempt(name .. " at once", low, whole) end
        if type(left) == "string" then
          attempt(name .. " of two", low, whole, name == "unb64" and text(nil, 9):gsub("=", "") .. "" or text(nil, 9))
        end
        local at, told = 1, {}
        while at <= #whole do
          local size = random(9)
          local made
          made, left = low(left, whole:sub(at, at + size - 1), extra)
          told[#told + 1], at = made, at + size
        end
        local last
        last, left = low(left, nil, extra)
        emit(name, whole, table.concat(told), last, left)
      end
      for _, name in ipairs { "b64", "unb64", "qp", "unqp", "wrp", "qpwrp", "eol", "dot" } do
        for _, wrong in ipairs { false, {}, "x", 3, print } do
          attempt(name .. " " .. type(wrong), mime[name], wrong, wrong, wrong)
        end
        attempt(name .. " nothing", mime[name])
        attempt(name .. " nil", mime[name], nil, "x")
      end
    ]])
  end)

  it("decode quoted-printable as LuaSocket's, but for blanks at the end of a line", function()
    assert_same(RANDOM .. [[
      local mime = require "mime"
      for round = 1, 800 do
        local whole = text(nil, 60):gsub("[ \t]+(=?\r)", "%1"):gsub("=[ \t]+", "="):gsub("\r+(.)", function(c)
          return c == "\n" and "\r\n" or c
        end):gsub("^%z+", ""):gsub("\r+$", "")
        emit("unqp", whole, (mime.unqp(whole .. "x")))
        local filter, at, told = mime.decode "quoted-printable", 1, {}
        while at <= #whole do
          local size = random(9)
          told[#told + 1], at = filter(whole:sub(at, at + size - 1)), at + size
        end
        emit(table.concat(told) .. (filter(nil) or ""))
      end
    ]])
  end)

  it("follow RFC 2045 where LuaSocket does not", function()
    local text = tell [[
      local told = ...
      local mime = require "mime"
      told.emit(mime.unqp "blanks \t\r\nand \r\n.")
      told.emit(mime.unqp "soft= \t\r\n break")
      told.emit(mime.unqp "blanks within  stay =20\r\n")
      told.emit(mime.unqp "a\rb")
      told.emit(mime.unqp "=00=01")
      told.emit(mime.unqp((" "):rep(500) .. "x"))
      told.emit((mime.unb64("====", "")))
      told.emit((mime.unb64("=QQ=", "")))
      local filter, pieces = mime.decode "quoted-printable", {}
      for byte in ("one \t \r\ntwo=  \r\n!"):gmatch "." do pieces[#pieces + 1] = filter(byte) end
      told.emit(table.concat(pieces) .. (filter(nil) or ""))
      told.emit(#mime.unqp((" "):rep(79) .. "\rx" .. ("="):rep(300) .. (" "):rep(300)))
    ]]
    assert.are.equal(
      table.concat({
        '"blanks\\13\\\nand\\13\\\n." | nil',
        '"soft break" | nil',
        '"blanks within  stay  \\13\\\n" | nil',
        '"ab" | nil',
        '"\\0\\1" | nil',
        ('%q… (501 bytes)'):format((" "):rep(300)) .. " | nil",
        '""',
        '""',
        '"one\\13\\\ntwo!"',
        tostring(79 + 1 + 300 + 300),
      }, "\n"),
      text
    )
  end)

  it("chain filters, sources and sinks as LuaSocket's", function()
    assert_same(RANDOM .. [[
      local ltn12, mime = require "ltn12", require "mime"
      -- Filters of all sorts: which buffer, which give much for little, which keep for the end.
      local makers = {
        function() return mime.encode "base64" end,
        function()
          local decode = mime.decode "base64"
          return function(chunk)
            if chunk then chunk = chunk:gsub("=", "") end
            return decode(chunk)
          end
        end,
        function() return mime.encode "quoted-printable" end,
        function() return mime.wrap("text", 5) end,
        function() return mime.normalize() end,
        function() return mime.stuff() end,
        function() -- gives a word at a time
          local kept = ""
          return function(chunk)
            kept = kept .. (chunk or "")
            local word, rest = kept:match "^(%S+%s)(.*)$"
            if word then kept = rest return word end
            if chunk then return "" end
            word, kept = kept, nil
            if word == "" then word = nil end
            kept = ""
            return word
          end
        end,
        function() -- gives what it has when there is enough
          local kept = ""
          return function(chunk)
            if not chunk then
              local last = kept
              kept = ""
              return last ~= "" and last or nil
            end
            kept = kept .. chunk
            if #kept < 7 then return "" end
            local out = kept
            kept = ""
            return out
          end
        end,
      }
      local function chain()
        local filters = {}
        for i = 1, random(4) do filters[i] = makers[random(#makers)]() end
        return filters
      end
      local fixed = { makers[7](), makers[8]() }
      local sink, chunks = ltn12.sink.table()
      attempt("a splitting one before a buffering one", ltn12.pump.all, ltn12.source.string
        "the quick brown fox jumps over the lazy dog", ltn12.sink.chain(ltn12.filter.chain(unpack(fixed)), sink))
      emit(table.concat(chunks))
      for round = 1, 400 do
        ltn12.BLOCKSIZE = random(20)
        local whole, filters, at = text(nil, 80), chain(), random(3)
        local source = ltn12.source.string(whole)
        if random(4) == 1 then source = ltn12.source.cat(ltn12.source.string "head ", source) end
        if random(4) == 1 then
          source = ltn12.source.rewind(source)
          source "again "
        end
        if random(6) == 1 then source = ltn12.source.cat(source, ltn12.source.error "broken") end
        if random(4) == 1 then source = ltn12.source.simplify(source) end
        local sink, chunks = ltn12.sink.table()
        if random(4) == 1 then sink = ltn12.sink.simplify(sink) end
        if random(8) == 1 then
          local room, full = random(5), sink
          sink = function(chunk, err)
            room = room - 1
            if room == 0 then return nil, "full" end
            return full(chunk, err)
          end
        end
        if at == 1 then
          source = ltn12.source.chain(source, unpack(filters))
        elseif at == 2 then
          filters[#filters + 1] = sink
          sink = ltn12.sink.chain(unpack(filters))
        else
          source = ltn12.source.chain(source, ltn12.filter.chain(unpack(filters)))
        end
        attempt("pump", ltn12.pump.all, source, sink)
        emit(at, whole, chunks)
      end
    ]])
  end)

  it("take URLs apart and together as LuaSocket's", function()
    assert_same(RANDOM .. [[
      local url = require "socket.url"
      local words = { "a", "b.c", "%20", "x;p=1", "..", ".", "ü", "a b", "c@d", "", "e:f" }
      local function path(slash)
        local parts = {}
        for i = 1, random(5) do parts[i] = words[random(#words)] end
        return slash .. table.concat(parts, "/")
      end
      local function has_dots(path)
        return path:find "/%.%.?/" or path:find "/%.%.?$" or path:find "^%.%.?/" or path:find "^%.%.?$"
      end
      local function make()
        local whole = ""
        if random(3) > 1 then whole = ({ "http:", "redis:", "g+h.i-j:" })[random(3)] end
        if random(3) > 1 then
          whole = whole .. "//" .. ({ "", "user@", "user:secret@", ":@", "u:p:q@" })[random(5)]
            .. ({ "host.example", "127.0.0.1", "[2001:db8::1]", "" })[random(4)]
            .. ({ "", ":80", ":" })[random(3)] .. path "/"
        else
          whole = whole .. path(random(2) == 1 and "/" or "")
        end
        if not has_dots(whole) and (not whole:find "//" or whole:find "//[^/]+/") then
          if random(3) == 1 then whole = whole .. "?" .. ({ "q=1", "q?r&s", "" })[random(3)] end
          if random(3) == 1 then whole = whole .. "#" .. ({ "f", "", "g#h" })[random(3)] end
        end
        return whole
      end
      for round = 1, 600 do
        local one, other = make(), make()
        local ok, parsed = pcall(url.parse, one, random(3) == 1 and { port = 80, scheme = "x", query = "d" } or nil)
        emit(one, ok, parsed)
        if ok and parsed then attempt("build", url.build, parsed) end
        -- RFC 3986 drops the base's fragment, and leaves a path alone that is taken over whole.
        if not one:find "#" and not one:find "^%?" and not (has_dots(one) and other:find "^[?#]" or other == "") then
          attempt("absolute " .. other, url.absolute, one, other)
          attempt("absolute from nothing", url.absolute, "", other)
        end
        local segments = url.parse_path(path(random(2) == 1 and "/" or ""))
        emit("path", segments, url.build_path(segments), url.build_path(segments, 1))
        emit("escape", url.escape(one), url.unescape(url.escape(one)), url.unescape "%zz%4")
      end
      for _, wrong in ipairs { false, 5, "" } do
        attempt("parse " .. type(wrong), url.parse, wrong)
        attempt("parse with a default", url.parse, wrong, { port = 80 })
      end
      attempt("no scheme", url.absolute, "/a/b", "c")
      attempt("a table", url.absolute, { scheme = "http", authority = "h", host = "h", path = "/x" }, "../y")
      attempt("default", url.parse, "//h/", { port = 80 })
      emit((require "socket.headers".canonic)["www-authenticate"], require "socket.headers".canonic["x-other"])
    ]])
  end)

  it("resolve references as RFC 3986, section 5.4 has them, where LuaSocket does not", function()
    local wanted = {
      ["g:h"] = "g:h",
      ["g"] = "http://a/b/c/g",
      ["./g"] = "http://a/b/c/g",
      ["g/"] = "http://a/b/c/g/",
      ["/g"] = "http://a/g",
      ["//g"] = "http://g",
      ["?y"] = "http://a/b/c/d;p?y",
      ["g?y"] = "http://a/b/c/g?y",
      ["#s"] = "http://a/b/c/d;p?q#s",
      ["g#s"] = "http://a/b/c/g#s",
      ["g?y#s"] = "http://a/b/c/g?y#s",
      [";x"] = "http://a/b/c/;x",
      ["g;x"] = "http://a/b/c/g;x",
      ["g;x?y#s"] = "http://a/b/c/g;x?y#s",
      [""] = "http://a/b/c/d;p?q",
      ["."] = "http://a/b/c/",
      ["./"] = "http://a/b/c/",
      [".."] = "http://a/b/",
      ["../"] = "http://a/b/",
      ["../g"] = "http://a/b/g",
      ["../.."] = "http://a/",
      ["../../"] = "http://a/",
      ["../../g"] = "http://a/g",
      ["../../../g"] = "http://a/g",
      ["../../../../g"] = "http://a/g",
      ["/./g"] = "http://a/g",
      ["/../g"] = "http://a/g",
      ["g."] = "http://a/b/c/g.",
      [".g"] = "http://a/b/c/.g",
      ["g.."] = "http://a/b/c/g..",
      ["..g"] = "http://a/b/c/..g",
      ["./../g"] = "http://a/b/g",
      ["./g/."] = "http://a/b/c/g/",
      ["g/./h"] = "http://a/b/c/g/h",
      ["g/../h"] = "http://a/b/c/h",
      ["g;x=1/./y"] = "http://a/b/c/g;x=1/y",
      ["g;x=1/../y"] = "http://a/b/c/y",
      ["g?y/./x"] = "http://a/b/c/g?y/./x",
      ["g?y/../x"] = "http://a/b/c/g?y/../x",
      ["g#s/./x"] = "http://a/b/c/g#s/./x",
      ["g#s/../x"] = "http://a/b/c/g#s/../x",
    }
    local references, lines = {}, {}
    for reference, absolute in pairs(wanted) do
      references[#references + 1] = ("%q"):format(reference)
      lines[#lines + 1] = ("%q | %q"):format(reference, absolute)
    end
    local text = tell(([[
      local told = ...
      local url = require "socket.url"
      for _, reference in ipairs { %s } do
        told.emit(reference, url.absolute("http://a/b/c/d;p?q", reference))
      end
      told.emit(url.parse("http://user@host.example?@other.test/").host)
      told.emit(url.parse("http://host.example#@other.test/").host)
    ]]):format(table.concat(references, ", ")))
    lines[#lines + 1] = '"host.example"'
    lines[#lines + 1] = '"host.example"'
    assert.are.equal(table.concat(lines, "\n"), text)
  end)

  it("are the user's own where these lie beside routes/", function()
    local m = moongate.start {
      space = (function()
        local space = moongate.workspace {
          routes = [[
            local ltn12, http = require "ltn12", require "socket.http"
            return { name = "front", match = { ports = 0 }, action = { handler = function(client)
              client:send(tostring(ltn12.mine) .. " " .. type(http.request) .. " " .. type(require "socket.smtp".send))
            end } }]],
        }
        local file = assert(io.open(space.directory .. "/ltn12.lua", "w"))
        file:write "return { mine = true, filter = {}, source = {}, sink = {} }"
        file:close()
        return space
      end)(),
    }
    local client = assert(require("spec.support.net").connect(m:port "front"))
    assert.are.equal("true function function", (client:receive_all()))
  end)
end)
