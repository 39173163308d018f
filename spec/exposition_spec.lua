-- SPDX-License-Identifier: MIT

local definitions = require "moongate.metrics.definitions"
local exposition = require "moongate.metrics.exposition"

local function source()
  return {
    snapshot = {
      connections = 12,
      active = 3,
      bytes_in = 112,
      bytes_out = 2 ^ 53 + 2,
      removed = { bytes_in = 5, bytes_out = 2, connections = 3, active = 1 },
      routes = {
        { name = "(none)", bytes_in = 7, bytes_out = 0, connections = 1, active = 1, handler_errors = 0 },
        { name = 'a "b"\\c\nd', bytes_in = 100, bytes_out = 2 ^ 53, connections = 9, active = 2, handler_errors = 4 },
      },
      terminations = { client = { reset = 2, ended = 5 }, target = { closed = 7 } },
      states = { routing = 1, forwarding = 2 },
      errors = { no_route = 1 },
      old_connections = 5,
    },
    scripts = {
      dictionaries = { { name = "words", entries = 2, bytes = 300, bytes_most = 65536, evictions = 1 } },
      dropped = 6,
      metrics = {},
    },
    status = {
      version = "1.2.3",
      generation = 4,
      started = 1700000000.25,
      config_faults = { { message = "x" } },
      restart_needed = { "a", "b" },
      cpu_seconds = 1.25,
      rss = 4096,
      virtual = 8192,
      descriptors = { used = 9, limit = 1024 },
      files = { { file = "a.lua", ok = true }, { file = "b.lua", ok = false } },
      reload = { swaps = 3, faults = 2, last_ms = 12, total_ms = 1500, old_versions = 1, lost_loaders = 2 },
    },
  }
end

-- A counter that no number holds, as native has it.
local function beyond(digits)
  return setmetatable({ digits = digits }, {
    is_counter = true,
    __tostring = function(counter)
      return counter.digits
    end,
  })
end

-- The value of each sample, by its name with labels; and the lines.
local function parse(page)
  local samples, lines = {}, {}
  for line in page:gmatch "([^\n]*)\n" do
    lines[#lines + 1] = line
    if line:sub(1, 1) ~= "#" then
      local name, value = line:match "^(.+) (%S+)$"
      assert(samples[name] == nil, "twice: " .. line)
      samples[name] = value
    end
  end
  return samples, lines
end

describe("exposition", function()
  it("writes every sample with its labels in the declared order", function()
    local samples = parse(exposition.render(source()))
    local expected = {
      ["moongate_active_connections"] = "3",
      ["moongate_connections_total"] = "12",
      ['moongate_bytes_total{direction="in"}'] = "112",
      ['moongate_bytes_total{direction="out"}'] = "9007199254740994",
      ['moongate_removed_bytes_total{direction="in"}'] = "5",
      ['moongate_removed_bytes_total{direction="out"}'] = "2",
      ["moongate_removed_active_connections"] = "1",
      ["moongate_removed_connections_total"] = "3",
      ['moongate_route_bytes_total{route="(none)",direction="in"}'] = "7",
      ['moongate_route_bytes_total{route="(none)",direction="out"}'] = "0",
      ['moongate_route_bytes_total{route="a \\"b\\"\\\\c\\nd",direction="in"}'] = "100",
      ['moongate_route_bytes_total{route="a \\"b\\"\\\\c\\nd",direction="out"}'] = "9007199254740992",
      ['moongate_route_active_connections{route="(none)"}'] = "1",
      ['moongate_route_active_connections{route="a \\"b\\"\\\\c\\nd"}'] = "2",
      ['moongate_route_connections_total{route="(none)"}'] = "1",
      ['moongate_route_connections_total{route="a \\"b\\"\\\\c\\nd"}'] = "9",
      ['moongate_connection_terminations_total{side="client",reason="ended"}'] = "5",
      ['moongate_connection_terminations_total{side="client",reason="reset"}'] = "2",
      ['moongate_connection_terminations_total{side="target",reason="closed"}'] = "7",
      ['moongate_connections_by_state{state="forwarding"}'] = "2",
      ['moongate_connections_by_state{state="routing"}'] = "1",
      ['moongate_errors_total{type="no_route"}'] = "1",
      ['moongate_handler_errors_total{route="(none)"}'] = "0",
      ['moongate_handler_errors_total{route="a \\"b\\"\\\\c\\nd"}'] = "4",
      ["moongate_config_generation"] = "4",
      ['moongate_route_file_ok{file="a.lua"}'] = "1",
      ['moongate_route_file_ok{file="b.lua"}'] = "0",
      ["moongate_swaps_total"] = "3",
      ["moongate_swap_seconds_total"] = "1.5",
      ["moongate_last_swap_seconds"] = "0.012",
      ["moongate_route_file_faults"] = "2",
      ["moongate_old_versions"] = "1",
      ["moongate_route_files_waiting"] = "0",
      ["moongate_part_faults"] = "0",
      ["moongate_config_faults"] = "1",
      ["moongate_restart_needed_settings"] = "2",
      ["moongate_old_version_connections"] = "5",
      ['moongate_shared_entries{dictionary="words"}'] = "2",
      ['moongate_shared_bytes{dictionary="words"}'] = "300",
      ['moongate_shared_evictions_total{dictionary="words"}'] = "1",
      ["moongate_script_series_dropped_total"] = "6",
      ["moongate_lost_loaders"] = "2",
      ["moongate_stuck_workers"] = "0",
      ["process_cpu_seconds_total"] = "1.25",
      ["process_open_fds"] = "9",
      ["process_max_fds"] = "1024",
      ["process_virtual_memory_bytes"] = "8192",
      ["process_resident_memory_bytes"] = "4096",
      ["process_start_time_seconds"] = "1700000000.25",
      ['moongate_build_info{version="1.2.3"}'] = "1",
    }
    assert.same(expected, samples)
  end)

  it("announces each metric once, before its samples, with HELP and TYPE", function()
    local _, lines = parse(exposition.render(source()))
    local seen, current = {}, nil
    for index, line in ipairs(lines) do
      local name = line:match "^# HELP (%S+) %S"
      if name then
        assert.is_nil(seen[name])
        assert.matches("^# TYPE " .. name .. " %l+$", lines[index + 1])
        seen[name], current = true, name
      elseif line:sub(1, 1) ~= "#" then
        assert.equal(current, line:match "^[%w_]+")
      end
    end
    for _, definition in ipairs(definitions) do
      assert.is_true(seen[definition.name])
    end
  end)

  it("ends with a line end, and is the same twice", function()
    local page = exposition.render(source())
    assert.equal("\n", page:sub(-1))
    assert.equal(page, exposition.render(source()))
  end)

  it("stands without routes, reasons or states", function()
    local snapshot = { connections = 0, active = 0, bytes_in = 0, bytes_out = 0, routes = {} }
    local bare = { snapshot = snapshot, status = source().status }
    bare.status.reload, bare.status.files = nil, nil
    local samples = parse(exposition.render(bare))
    assert.is_nil(samples.moongate_swaps_total)
    assert.equal("0", samples['moongate_bytes_total{direction="in"}'])
  end)

  it("keeps a name that is not UTF-8 from spoiling the page", function()
    local odd = source()
    odd.snapshot.routes[1].name = "caf\233 \237\160\128 \226\130\172"
    local page = exposition.render(odd)
    local bad = "\239\191\189"
    local name = "caf" .. bad .. " " .. bad:rep(3) .. " \226\130\172"
    assert.matches('moongate_route_connections_total{route="' .. name .. '"} 1\n', page, 1, true)
  end)

  it("writes values as Prometheus reads them", function()
    assert.equal("NaN", exposition.format_value(0 / 0))
    assert.equal("+Inf", exposition.format_value(math.huge))
    assert.equal("-Inf", exposition.format_value(-math.huge))
    assert.equal("0.1", exposition.format_value(0.1))
    assert.equal("123456789012345", exposition.format_value(123456789012345))
    assert.equal("18446744073709551615", exposition.format_value(beyond "18446744073709551615"))
  end)

  it("is OpenMetrics for who asks for that: families without _total, and an end", function()
    local scripted = source()
    scripted.scripts.metrics = {
      { name = "jobs", type = "gauge", help = "x", labels = {}, series = { { values = {}, number = 1 } } },
      { name = "jobs_total", type = "counter", help = 'a "b"', labels = {}, series = { { values = {}, number = 1 } } },
      { name = "odd", type = "counter", help = "x", labels = {}, series = { { values = {}, number = 1 } } },
      { name = "wait", type = "histogram", help = "x", labels = {}, buckets = { 0.5, 1, 10 },
        series = { { values = {}, number = 3, count = 4, counts = { 1, 2, 0 } } } },
    }
    local page = exposition.render(scripted, nil, nil, true)
    assert.equal("\n# EOF\n", page:sub(-7))
    for _, line in ipairs {
      "# TYPE moongate_connections counter\nmoongate_connections_total 12\n",
      "# TYPE moongate_connections_by_state gauge\n", "# TYPE jobs gauge\njobs 1\n",
      '# HELP jobs_total a \\"b\\"\n# TYPE jobs_total unknown\njobs_total 1\n', "# TYPE odd unknown\nodd 1\n",
      'wait_bucket{le="0.5"} 1\nwait_bucket{le="1.0"} 3\nwait_bucket{le="10.0"} 3\n',
    } do
      assert.matches(line, page, 1, true)
    end
    local families = {}
    for name in page:gmatch "# TYPE (%S+)" do
      assert.is_nil(families[name], name)
      families[name] = true
    end
  end)

  it("says which metric lacks a value or a label", function()
    local function render(labels, ...)
      local values = { n = select("#", ...), ... }
      return pcall(exposition.render, {}, nil, {
        {
          name = "x_total",
          type = "counter",
          help = 'back\\slash, "quotes"\nand a line',
          labels = labels,
          collect = function(_, add)
            add(unpack(values, 1, values.n))
          end,
        },
      })
    end
    local _, page = render({ "a" }, 1, "v")
    assert.equal(
      '# HELP x_total back\\\\slash, "quotes"\\nand a line\n# TYPE x_total counter\nx_total{a="v"} 1\n',
      page
    )
    assert.same({ false, "x_total: 0 label values for 1 labels" }, { render({ "a" }, 1) })
    assert.same({ false, "x_total: there is no value for it" }, { render({}, nil) })
  end)

  it("writes of a summary the sum and the count, each with the labels", function()
    local page = exposition.render({}, nil, {
      {
        name = "x_seconds",
        type = "summary",
        help = "x",
        labels = { "state" },
        collect = function(_, add)
          add(1.5, 3, "a")
          add(0, 0, "b")
        end,
      },
    })
    assert.equal("# HELP x_seconds x\n# TYPE x_seconds summary\n"
      .. 'x_seconds_sum{state="a"} 1.5\nx_seconds_count{state="a"} 3\n'
      .. 'x_seconds_sum{state="b"} 0\nx_seconds_count{state="b"} 0\n', page)
  end)

  local function read(path)
    local file = assert(io.open(path))
    local text = file:read "*a"
    file:close()
    return text
  end

  it("declares metrics as the documentation lists them", function()
    local text = read "docs/metrics.md"
    for _, definition in ipairs(definitions) do
      local labels = #definition.labels > 0 and "{" .. table.concat(definition.labels, ",") .. "}" or ""
      assert.matches(("| `%s%s` | %s |"):format(definition.name, labels, definition.type), text, 1, true)
    end
  end)

  it("has every reason, type and state of the C core in the documentation", function()
    local text, count = read "docs/metrics.md", 0
    for _, path in ipairs { "runtime/connection/reason.h", "runtime/metrics/shard.h" } do
      for label in read(path):gmatch 'X%([%u_]+, "([%l_]+)"' do
        assert.matches(("\n| `%s` | "):format(label), text, 1, true)
        count = count + 1
      end
    end
    for label in read("runtime/connection/connection.h"):gmatch 'CONNECTION_%u+, +/%* "(%l+)"' do
      assert.matches(("\n| `%s` | "):format(label), text, 1, true)
      count = count + 1
    end
    assert.is_true(count > 25)
  end)

  it("lets others have their turn while a page of many routes is made", function()
    local long, pauses = source(), 0
    local route = long.snapshot.routes[1]
    for number = 1, 3000 do
      local copy = {}
      for key, value in pairs(route) do
        copy[key] = value
      end
      copy.name = ("route %d"):format(number)
      table.insert(long.snapshot.routes, copy)
    end
    local page = exposition.render(long, function()
      pauses = pauses + 1
    end)
    assert.is_true(pauses >= 10)
    assert.equal(exposition.render(long), page)
  end)
end)
