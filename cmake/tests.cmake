# SPDX-License-Identifier: MIT
#
# What ctest runs: each ctests/<room>/test_x.c as an executable of its own (named <room>/test_x), each spec/**/x_spec.lua by
# busted in its own process (named by its path), from the root of the repository; those of routes and of moongate.testing
# by moongate test, which has busted within; and each fuzz target's corpus (named fuzz/x). Programs that specs start as peers
# (spec/support/*.c), and what they load into others (*_preload.c), are built into support/.
#
# In instrumented builds (Sanitize, Threads) a test fails for each report of a sanitizer, whichever process it is from: reports
# go into files, and cmake/watch_reports looks for them. An assertion that fails counts as one (handle_abort).

pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
find_program(BUSTED_PROGRAM busted REQUIRED)

# Those that take longest are begun first, also where ctest has no times of an earlier run: or they would be what is waited for
# in the end.
set(longest spec/integration/hostile_spec spec/integration/loading_lost_spec spec/integration/forward_vanished_spec reload/test_watcher
            script/test_watchdog spec/integration/forward_undelivered_spec spec/integration/stopping_spec
            spec/integration/swap_bad_input_spec spec/integration/loading_ended_spec spec/integration/stuck_worker_spec)

# moongate_test(NAME TIMEOUT COMMAND…): in instrumented builds, which are slower, the timeout is three times as long.
function(moongate_test name timeout)
  set(environment "LUA_PATH=./lua/?.lua\;./lua/?/init.lua\;./?.lua\;\;" "MOONGATE_BINARY=${PROJECT_BINARY_DIR}/moongate"
                  "MOONGATE_SUPPORT=${PROJECT_BINARY_DIR}/support")
  set(command ${ARGN})
  if(CMAKE_BUILD_TYPE MATCHES "^(Sanitize|Threads)$")
    string(REPLACE "/" "-" file ${name})
    set(reports ${PROJECT_BINARY_DIR}/reports/${file})
    set(common "log_path=${reports}:handle_abort=1")
    list(APPEND environment "MOONGATE_REPORTS=${reports}"
         "ASAN_OPTIONS=${common}:detect_leaks=1:abort_on_error=0:strict_string_checks=1"
         "UBSAN_OPTIONS=${common}:print_stacktrace=1:halt_on_error=1"
         "TSAN_OPTIONS=${common}:suppressions=${PROJECT_SOURCE_DIR}/cmake/threads.supp:second_deadlock_stack=1:die_after_fork=0:atexit_sleep_ms=0:report_thread_leaks=0")
    set(command ${PROJECT_SOURCE_DIR}/cmake/watch_reports ${reports} ${command})
    math(EXPR timeout "3 * ${timeout}")
  endif()
  add_test(NAME ${name} COMMAND ${command} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${timeout} ENVIRONMENT "${environment}")
  if(name IN_LIST longest)
    set_tests_properties(${name} PROPERTIES COST 100)
  endif()
endfunction()

# moongate_threads(NAME): a test that has threads, which ./dev test --threads runs.
function(moongate_threads name)
  set_property(TEST ${name} APPEND PROPERTY LABELS threads)
endfunction()

# Not these, under ThreadSanitizer: it needs room of the stacks that are measured; errors that go through a thousand frames of C
# take too long; a thread of its own has privileges of its own; and what one thread does alone, counting bytes and collecting
# garbage for each file that is opened, is only slow.
set(without_threads core/test_stack patterns/test_pattern spec/integration/patterns_spec spec/integration/hostile_spec
                    spec/integration/privileges_spec spec/integration/bytes_spec spec/integration/script_descriptors_spec)

file(GLOB test_sources CONFIGURE_DEPENDS ctests/*/test_*.c)
foreach(source IN LISTS test_sources)
  get_filename_component(name ${source} NAME_WE)
  get_filename_component(room ${source} DIRECTORY)
  get_filename_component(room ${room} NAME)
  set(target ctest_${room}_${name})
  add_executable(${target} ${source})
  target_link_libraries(${target} PRIVATE moongate_core PkgConfig::CMOCKA)
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/ctests/${room})
  moongate_test(${room}/${name} 60 $<TARGET_FILE:${target}>)
  file(STRINGS ${source} starts REGEX "pthread_create|signals_new")
  if(starts AND NOT ${room}/${name} IN_LIST without_threads)
    moongate_threads(${room}/${name})
  endif()
endforeach()

# The committed inputs of the fuzz targets, without the fuzzer.
file(GLOB replayed_sources CONFIGURE_DEPENDS fuzz/fuzz_*.c)
foreach(source IN LISTS replayed_sources)
  get_filename_component(name ${source} NAME_WE)
  string(REGEX REPLACE "^fuzz_" "" name ${name})
  add_executable(replay_${name} ${source} fuzz/replay.c)
  target_link_libraries(replay_${name} PRIVATE moongate_core)
  set_target_properties(replay_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
  moongate_test(fuzz/${name} 120 $<TARGET_FILE:replay_${name}> fuzz/corpus/${name})
endforeach()

file(GLOB support_sources CONFIGURE_DEPENDS spec/support/*.c)
foreach(source IN LISTS support_sources)
  get_filename_component(name ${source} NAME_WE)
  if(name MATCHES "_preload$")
    add_library(support_${name} MODULE ${source})
    # It is there before any sanitizer is.
    target_compile_options(support_${name} PRIVATE -fno-sanitize=all)
    target_link_options(support_${name} PRIVATE -fno-sanitize=all)
    set_target_properties(support_${name} PROPERTIES PREFIX "")
  else()
    add_executable(support_${name} ${source})
  endif()
  target_link_libraries(support_${name} PRIVATE moongate_flags Threads::Threads)
  set_target_properties(
    support_${name} PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/support
                               LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/support)
endforeach()

file(GLOB_RECURSE specs CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} spec/*_spec.lua)
foreach(spec IN LISTS specs)
  string(REGEX REPLACE "\\.lua$" "" name ${spec})
  set(runner ${LUAJIT_PROGRAM} ${BUSTED_PROGRAM})
  if(spec MATCHES "^spec/(testing|routes|examples)/")
    set(runner $<TARGET_FILE:moongate> test)
  endif()
  moongate_test(${name} 300 ${runner} --output=TAP ${spec})
  if(spec MATCHES "^spec/integration/" AND NOT name IN_LIST without_threads) # of the real binary
    moongate_threads(${name})
  endif()
endforeach()
