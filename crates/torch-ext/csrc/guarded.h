// What every function of the shim is wrapped in: no exception crosses into Rust.
#pragma once
#include <c10/util/Exception.h>

#include <cstring>
#include <exception>

// torch adds the table of all registered kernels after a blank line; the first paragraph says what is wrong.
inline char* message(const char* text) {
  const char* end = strstr(text, "\n\n");
  return end ? strndup(text, end - text) : strdup(text);
}

template <class F>
char* guarded(F&& body) {
  try {
    body();
    return nullptr;
  } catch (const c10::Error& error) {
    return message(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return message(error.what());
  } catch (...) {
    return message("an exception of unknown type");
  }
}
