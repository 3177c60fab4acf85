// assistant-ui over its LangGraph runtime: its own thread, composer, edit composer and interrupts.
import {
  ActionBarPrimitive,
  AssistantRuntimeProvider,
  ComposerPrimitive,
  MessagePrimitive,
  ThreadPrimitive,
  useAuiState,
} from "@assistant-ui/react";
import {
  unstable_createLangGraphStream as createStream,
  useLangGraphInterruptState,
  useLangGraphRuntime,
  useLangGraphSendCommand,
  useLangGraphState,
} from "@assistant-ui/react-langgraph";
import { Client } from "@langchain/langgraph-sdk";
import { useMemo, useState } from "react";
import { api, assistant, Citations, headers, Interrupt, Progress, show, Status } from "./common.jsx";

const client = new Client({ apiUrl: api, defaultHeaders: headers });
const stream = createStream({
  client,
  assistantId: assistant,
  streamMode: ["messages", "values", "updates", "custom"],
});

/** The checkpoint that holds these messages and no more: where an edited question forks off. */
async function checkpointOf(thread, messages) {
  const history = await client.threads.getHistory(thread, { limit: 100 });
  const ids = messages.map((one) => one.id).join();
  const found = history.find((state) => (state.values.messages ?? []).map((one) => one.id).join() === ids);
  return found?.checkpoint.checkpoint_id ?? null;
}

const Human = () => (
  <MessagePrimitive.Root className="message human">
    <span className="text">
      <MessagePrimitive.Parts />
    </span>
    <ActionBarPrimitive.Edit className="edit">Edit</ActionBarPrimitive.Edit>
  </MessagePrimitive.Root>
);

const Ai = () => (
  <MessagePrimitive.Root className="message ai">
    <span className="text">
      <MessagePrimitive.Parts />
    </span>
  </MessagePrimitive.Root>
);

const Editing = () => (
  <ComposerPrimitive.Root>
    <ComposerPrimitive.Input className="draft" />
    <ComposerPrimitive.Send className="save">Save</ComposerPrimitive.Send>
  </ComposerPrimitive.Root>
);

function Thread({ progress, error }) {
  const interrupt = useLangGraphInterruptState();
  const send = useLangGraphSendCommand();
  const running = useAuiState((state) => state.thread.isRunning);
  return (
    <ThreadPrimitive.Root>
      <ThreadPrimitive.Messages
        components={{ UserMessage: Human, AssistantMessage: Ai, UserEditComposer: Editing }}
      />
      {interrupt && <Interrupt value={interrupt.value} answer={(option) => send({ resume: option })} />}
      <Progress events={progress} />
      <Citations citations={useLangGraphState()?.citations} />
      <Status loading={running} error={error} />
      <ComposerPrimitive.Root>
        <ComposerPrimitive.Input id="question" />
        <ComposerPrimitive.Send id="ask">Ask</ComposerPrimitive.Send>
      </ComposerPrimitive.Root>
    </ThreadPrimitive.Root>
  );
}

function Page() {
  const [progress, setProgress] = useState([]);
  const [error, setError] = useState(null);
  const eventHandlers = useMemo(
    () => ({
      onCustomEvent: (type, data) => type === "custom" && setProgress((before) => [...before, data]),
      onError: setError,
    }),
    [],
  );
  const runtime = useLangGraphRuntime({
    stream,
    create: async () => ({ externalId: (await client.threads.create()).thread_id }),
    load: async (id) => {
      const state = await client.threads.getState(id);
      return { messages: state.values.messages ?? [], interrupts: state.tasks.flatMap((task) => task.interrupts) };
    },
    getCheckpointId: checkpointOf,
    eventHandlers,
  });
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <Thread progress={progress} error={error} />
    </AssistantRuntimeProvider>
  );
}

show(<Page />);
