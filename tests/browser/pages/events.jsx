// `useStream` of @langchain/react: the newer transport (commands and an event stream a thread).
import { useChannel, useMessageMetadata, useStream } from "@langchain/react";
import { api, Ask, assistant, Citations, headers, Interrupt, Message, Progress, show, Status, useThread } from "./common.jsx";

const transport = new URLSearchParams(location.search).get("transport") ?? "sse";
const asked = (content) => ({ messages: [{ type: "human", content }] });
const CUSTOM = ["custom"];

function Own({ stream, message }) {
  const parent = useMessageMetadata(stream, message.id)?.parentCheckpointId;
  const edit = (question) => stream.submit(asked(question), { forkFrom: parent });
  return <Message message={message} edit={parent ? edit : undefined} />;
}

function Page() {
  const [threadId, onThreadId] = useThread();
  const stream = useStream({
    apiUrl: api,
    assistantId: assistant,
    defaultHeaders: headers,
    transport,
    threadId,
    onThreadId,
  });
  const events = useChannel(stream, CUSTOM).map((event) => event.params.data);
  return (
    <>
      {stream.messages.map((message, at) =>
        message.getType() === "human" ? (
          <Own key={message.id ?? at} stream={stream} message={message} />
        ) : (
          <Message key={message.id ?? at} message={message} />
        ),
      )}
      {stream.interrupt && <Interrupt value={stream.interrupt.value} answer={(option) => stream.respond(option)} />}
      <Progress events={events.map((event) => event.payload ?? event)} />
      <Citations citations={stream.values.citations} />
      <Status loading={stream.isLoading} error={stream.error} />
      <button id="stop" onClick={() => stream.stop()}>
        Stop
      </button>
      <Ask ask={(question) => stream.submit(asked(question))} />
    </>
  );
}

show(<Page />);
