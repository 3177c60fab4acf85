// What every page has: where the service is, which thread is open, and how progress and sources are shown.
import { useCallback, useState } from "react";
import { createRoot } from "react-dom/client";

const query = new URLSearchParams(location.search);
export const api = query.get("api");
export const assistant = query.get("assistant");
const token = query.get("token");
export const headers = token ? { Authorization: `Bearer ${token}` } : undefined;

/** The thread stands behind the # of the address, so that a page that is loaded again opens it again. */
export function useThread() {
  const [thread, set] = useState(location.hash.slice(1) || null);
  const open = useCallback((id) => {
    location.hash = id ?? "";
    set(id);
  }, []);
  return [thread, open];
}

export const text = (message) =>
  typeof message.content === "string"
    ? message.content
    : (message.content ?? []).map((block) => block.text ?? "").join("");

export function Progress({ events }) {
  return (
    <ol id="progress">
      {events.map((event, at) => (
        <li key={at}>{`${event.hop} ${event.status} ${JSON.stringify(event.found ?? {})}`}</li>
      ))}
    </ol>
  );
}

export function Citations({ citations }) {
  return (
    <ul id="citations">
      {(citations ?? []).map((one, at) => (
        <li key={at}>{`[${one.marker}] ${one.uri}: ${one.quote}`}</li>
      ))}
    </ul>
  );
}

export function Interrupt({ value, answer }) {
  return (
    <div id="interrupt">
      <p>{value?.question}</p>
      {(value?.options ?? []).map((option) => (
        <button key={option} onClick={() => answer(option)}>
          {option}
        </button>
      ))}
    </div>
  );
}

export function Ask({ ask }) {
  const [question, set] = useState("");
  const send = (event) => {
    event.preventDefault();
    set("");
    ask(question);
  };
  return (
    <form onSubmit={send}>
      <input id="question" value={question} onChange={(event) => set(event.target.value)} />
      <button id="ask">Ask</button>
    </form>
  );
}

/** A message; one of the asker's own can be changed, where `edit` is given. */
export function Message({ message, edit, children }) {
  const [draft, set] = useState(null);
  const type = message.type ?? message.getType();
  const save = (event) => {
    event.preventDefault();
    set(null);
    edit(draft);
  };
  return (
    <div className={`message ${type}`}>
      <span className="text">{text(message)}</span>
      {edit && draft === null && (
        <button className="edit" onClick={() => set(text(message))}>
          Edit
        </button>
      )}
      {draft !== null && (
        <form onSubmit={save}>
          <input className="draft" value={draft} onChange={(event) => set(event.target.value)} />
          <button className="save">Save</button>
        </form>
      )}
      {children}
    </div>
  );
}

export function Status({ loading, error }) {
  return (
    <>
      <p id="status">{loading ? "busy" : "idle"}</p>
      <p id="error">{error ? String(error.message ?? error) : ""}</p>
    </>
  );
}

export const show = (page) => createRoot(document.getElementById("root")).render(page);
