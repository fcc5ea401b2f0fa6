/** The typed documents of GraphQL, made from the SDL and the `.graphql` files beside this one. */
export * from '../gen/graphql.js';
