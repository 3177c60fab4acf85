// `useStream` of the LangGraph SDK, as Agent Chat UI uses it: reconnects, edits, forks, answers interrupts.
import { useStream } from "@langchain/langgraph-sdk/react";
import { useState } from "react";
import { api, Ask, assistant, Citations, headers, Interrupt, Message, Progress, show, Status, useThread } from "./common.jsx";

const asked = (content) => ({ messages: [{ type: "human", content }] });

function Branches({ meta, choose }) {
  const options = meta?.branchOptions;
  if (!options) return null;
  const at = options.indexOf(meta.branch);
  return (
    <span className="branches">
      <button className="previous" disabled={at <= 0} onClick={() => choose(options[at - 1])} />
      {`${at + 1}/${options.length}`}
      <button className="next" disabled={at + 1 >= options.length} onClick={() => choose(options[at + 1])} />
    </span>
  );
}

function Page() {
  const [threadId, onThreadId] = useThread();
  const [progress, setProgress] = useState([]);
  const stream = useStream({
    apiUrl: api,
    assistantId: assistant,
    defaultHeaders: headers,
    threadId,
    onThreadId,
    reconnectOnMount: true,
    fetchStateHistory: { limit: 100 },
    onCustomEvent: (event) => setProgress((before) => [...before, event]),
  });
  const submit = (input, options) => {
    setProgress([]);
    stream.submit(input, options);
  };
  const ask = (question) =>
    submit(asked(question), {
      optimisticValues: (before) => ({ messages: [...(before.messages ?? []), ...asked(question).messages] }),
    });
  const edit = (meta) => (question) => submit(asked(question), { checkpoint: meta?.firstSeenState?.parent_checkpoint });

  return (
    <>
      {stream.messages.map((message, at) => {
        const meta = stream.getMessagesMetadata(message, at);
        const own = message.type === "human" && meta?.firstSeenState;
        return (
          <Message key={message.id ?? at} message={message} edit={own ? edit(meta) : undefined}>
            <Branches meta={meta} choose={stream.setBranch} />
          </Message>
        );
      })}
      {stream.interrupt?.value && (
        <Interrupt
          value={stream.interrupt.value}
          answer={(option) => submit(undefined, { command: { resume: option } })}
        />
      )}
      <Progress events={progress} />
      <Citations citations={stream.values.citations} />
      <Status loading={stream.isLoading} error={stream.error} />
      <button id="stop" onClick={() => stream.stop()}>
        Stop
      </button>
      <Ask ask={ask} />
    </>
  );
}

show(<Page />);
