// Every function of the shim that can throw is wrapped in `guarded`: no exception reaches Rust.
#pragma once
#include <c10/util/Exception.h>

#include <cstring>
#include <exception>

// The first paragraph says what is wrong; after it torch adds a table of all registered kernels.
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
